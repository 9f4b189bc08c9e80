import { X509Certificate } from "node:crypto";
import { expect } from "chai";
import type { EpochMs } from "../../src/entry.ts";
import { ClientTrust } from "../../src/tls/client-trust.ts";
import { type Authority, createAuthority } from "../support/certificates.ts";
import { thrownBy } from "../support/rejection.ts";

const HOUR_MS = 3_600_000;
const GONE = "no CA in TLS_CLIENT_CA_FILE is its issuer";

describe("ClientTrust", () => {
  let root: Authority;
  let between: Authority;
  let own: string;
  let below: string;

  before(async () => {
    root = await createAuthority("root");
    between = await root.subordinate("between");
    own = (await root.issue([{ type: "dns", value: "a.test" }])).certificate;
    below = (await between.issue([{ type: "dns", value: "b.test" }])).certificate;
  });

  const now = (aheadMs = 0) => (Date.now() + aheadMs) as EpochMs;
  const joined = (...pem: readonly string[]) => pem.join("\n");
  const chain = (...pem: readonly string[]) => pem.map((text) => new X509Certificate(text));
  const trust = (ca: readonly string[], crl?: readonly string[]) =>
    new ClientTrust({ ca: joined(...ca), crl: crl && joined(...crl) });

  it("accepts a chain to a trusted root, over trusted or presented intermediate CAs", () => {
    const only = trust([root.certificate]);
    const both = trust([between.certificate, root.certificate]);
    expect([
      only.whyRejected(chain(own), now()),
      only.whyRejected(chain(below, between.certificate, root.certificate), now()),
      both.whyRejected(chain(below), now()),
    ]).to.deep.equal([undefined, undefined, undefined]);
  });

  it("refuses a chain that does not lead to a trusted root", async () => {
    const namesake = await createAuthority("root");
    expect([
      trust([namesake.certificate]).whyRejected(chain(own, root.certificate), now()),
      trust([root.certificate]).whyRejected(chain(below), now()),
      // As in OpenSSL, an intermediate CA is not a root.
      trust([between.certificate]).whyRejected(chain(below, between.certificate, root.certificate), now()),
      trust([root.certificate]).whyRejected([], now()),
      trust([root.certificate]).whyRejected(chain(own), now(48 * HOUR_MS)),
    ]).to.deep.equal([GONE, GONE, GONE, "it is unknown", GONE]);
  });

  it("applies revocation lists at every step of the chain, while they are valid", async () => {
    const judged = async (revoked: readonly string[], revokedBelow: readonly string[], aheadMs = 0) => {
      const lists = [await root.revoke(revoked), await between.revoke(revokedBelow)];
      const both = trust([root.certificate, between.certificate], lists);
      return [both.whyRejected(chain(own), now(aheadMs)), both.whyRejected(chain(below), now(aheadMs))];
    };
    const REVOKED = "it has been revoked";
    const EXPIRED = "the revocation list of its CA has expired or is not valid yet";
    expect([
      await judged([], []),
      await judged([own], []),
      await judged([], [below]),
      await judged([between.certificate], []),
      await judged([], [], 2 * HOUR_MS),
      await judged([], [], -2 * HOUR_MS),
    ]).to.deep.equal([
      [undefined, undefined],
      [REVOKED, undefined],
      [undefined, REVOKED],
      [undefined, REVOKED],
      [EXPIRED, EXPIRED],
      [EXPIRED, EXPIRED],
    ]);
  });

  it("needs a list of each CA, and no others", async () => {
    const problem = (ca: readonly string[], crl: readonly string[]) =>
      (thrownBy(() => trust(ca, crl)) as Error).message;
    const [ofRoot, ofBetween] = [await root.revoke([]), await between.revoke([])];
    expect(problem([root.certificate, between.certificate], [ofRoot])).to.match(
      /^TLS_CLIENT_CRL_FILE has no revocation list signed by certificate number 2 of TLS_CLIENT_CA_FILE/,
    );
    expect(problem([root.certificate], [ofRoot, ofBetween])).to.match(
      /revocation list number 2 is not signed by a CA in TLS_CLIENT_CA_FILE/,
    );
  });

  it("compares the age of lists, by CA", async () => {
    const at = async (rootMs: number, betweenMs: number) =>
      trust(
        [root.certificate, between.certificate],
        [
          await root.revoke([], { validMs: [rootMs, HOUR_MS] }),
          await between.revoke([], { validMs: [betweenMs, 2 * HOUR_MS] }),
        ],
      );
    const present = await at(-2000, -2000);
    expect([
      (await at(-9000, 0)).isOlderThan(present),
      (await at(0, -9000)).isOlderThan(present),
      (await at(0, 0)).isOlderThan(present),
      present.isOlderThan(present),
      trust([root.certificate]).isOlderThan(present),
    ]).to.deep.equal([true, true, false, false, false]);
    const { notBefore, notAfter } = present.listValidity ?? {};
    expect(Math.round((Number(notAfter) - Number(notBefore)) / 60_000)).to.equal(60);
  });
});
