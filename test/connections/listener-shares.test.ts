import { expect } from "chai";
import { describe, it } from "mocha";
import { descriptorLimit, shareDescriptors } from "../../src/connections/listener-shares.ts";

const NOTHING_WANTED = { total: undefined, perAddress: undefined, servesAuthz: false };

describe("shareDescriptors", () => {
  it("reserves some for the admin address and the process itself", () => {
    const { grpc, admin, exceedsDescriptors } = shareDescriptors(512, NOTHING_WANTED);
    expect([grpc.total, grpc.perAddress, admin.total, exceedsDescriptors]).to.deep.equal([
      320,
      160,
      64,
      false,
    ]);
    expect(grpc.total + admin.total).to.be.below(512 - 100);
  });

  it("reserves a quarter for AUTHZ_ADDRESS if it is configured", () => {
    const { grpc, authz } = shareDescriptors(1024, { ...NOTHING_WANTED, servesAuthz: true });
    expect([grpc.total, authz.total]).to.deep.equal([624, 208]);
  });

  it("bounds the shares for any number of descriptors, and if it is unknown", () => {
    for (const descriptors of [1_000_000, Number.POSITIVE_INFINITY]) {
      const { grpc, authz } = shareDescriptors(descriptors, { ...NOTHING_WANTED, servesAuthz: true });
      expect([grpc.total, grpc.unauthenticated, authz.total]).to.deep.equal([15_000, 1500, 4096]);
    }
  });

  it("applies the configured limits within the available descriptors, and reports a shortage", () => {
    const wanted = { total: 400, perAddress: 100, servesAuthz: false };
    const { grpc, exceedsDescriptors } = shareDescriptors(65_536, wanted);
    expect([grpc.total, grpc.perAddress, exceedsDescriptors]).to.deep.equal([400, 100, false]);
    const short = shareDescriptors(512, wanted);
    expect([short.grpc.total, short.grpc.perAddress, short.exceedsDescriptors]).to.deep.equal([
      320,
      100,
      true,
    ]);
  });

  it("leaves a minimum for gRPC, however few descriptors there are", () => {
    expect(shareDescriptors(100, NOTHING_WANTED).grpc.total).to.equal(16);
  });

  it("reads the limit of this process from the system", () => {
    expect(descriptorLimit()).to.be.above(100);
  });
});
