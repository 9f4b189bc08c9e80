import { expect } from "chai";
import { Authorization } from "../../gen/envoy/service/auth/v3/external_auth_pb.js";
import { TokenBlacklist } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { AUTHORIZATION, type MethodTable, TOKEN_BLACKLIST } from "../../src/grpc/methods.ts";

describe("the table of methods", () => {
  it("has every method of the services, and no other", () => {
    for (const [{ methods }, table] of [
      [TokenBlacklist, TOKEN_BLACKLIST],
      [Authorization, AUTHORIZATION],
    ] as const) {
      expect(Object.keys(table).sort()).to.deep.equal(methods.map(({ localName }) => localName).sort());
    }
  });

  it("does not compile without a method, or without a decision about the caller's own token", () => {
    const { prune, watch, ...others } = TOKEN_BLACKLIST;
    const { ownToken: _, ...undecided } = prune;
    const { ownToken: __, ...undecidedStream } = watch;
    // @ts-expect-error: a unary method is missing.
    const withoutMethod: MethodTable<typeof TokenBlacklist> = { ...others, watch };
    // @ts-expect-error: a method with streams is missing.
    const withoutStream: MethodTable<typeof TokenBlacklist> = { ...others, prune };
    // @ts-expect-error: it is not declared when the caller's own token is looked up.
    const withoutDecision: MethodTable<typeof TokenBlacklist> = { ...others, watch, prune: undecided };
    // @ts-expect-error: the same for streams.
    const ofStream: MethodTable<typeof TokenBlacklist> = { ...others, prune, watch: undecidedStream };
    expect([withoutMethod, withoutStream, withoutDecision, ofStream]).to.have.length(4);
  });
});
