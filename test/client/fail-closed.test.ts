import { expect } from "chai";
import {
  BlacklistResult_Outcome as Outcome,
  Verdict,
} from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { createRpcClient } from "../../src/client/rpc-client.ts";
import { failure } from "./failure.ts";
import { type Script, startScripted } from "./scripted-service.ts";

const FINE = Verdict.NOT_BLACKLISTED;

/** Responses to a check of two jtis, none of which may give a negative. */
const VERDICTS: Readonly<Record<string, Verdict[]>> = {
  "no verdict": [],
  "too few verdicts": [FINE],
  "too many verdicts": [FINE, FINE, FINE],
  "an unspecified verdict": [FINE, Verdict.UNSPECIFIED],
  "an unknown verdict": [9 as Verdict, FINE],
  "a negative verdict": [-1 as Verdict, FINE],
};

const A = { token: { jti: "a" }, outcome: Outcome.CREATED };
const B = { token: { jti: "b" }, outcome: Outcome.EXTENDED };

/** Invalid responses to the revocation of `a` and `b`. */
const RESULTS: Readonly<Record<string, { token?: { jti: string }; outcome: Outcome }[]>> = {
  "no result": [],
  "too few results": [A],
  "too many results": [A, B, B],
  "an unspecified outcome": [A, { ...B, outcome: Outcome.UNSPECIFIED }],
  "an unknown outcome": [{ ...A, outcome: 9 as Outcome }, B],
  "a result without its token": [A, { outcome: Outcome.CREATED }],
  "results in another order": [B, A],
};

describe("the client fails closed", () => {
  async function withService<T>(
    script: Script,
    use: (client: ReturnType<typeof createRpcClient>) => Promise<T>,
  ): Promise<T> {
    const service = await startScripted(script);
    const client = createRpcClient({ address: service.address });
    try {
      return await use(client);
    } finally {
      client.close();
      service.stop();
    }
  }

  for (const [what, verdicts] of Object.entries(VERDICTS)) {
    it(`on ${what}`, async () => {
      const { code, reason } = await withService(
        { isBlacklisted: () => ({ verdicts, revision: "r" }) },
        ({ isBlacklisted }) => failure(isBlacklisted({ jtis: ["a", "b"] })),
      );
      expect({ code, reason }).to.deep.equal({ code: "INTERNAL", reason: "MALFORMED_ANSWER" });
    });
  }

  for (const [what, results] of Object.entries(RESULTS)) {
    it(`on ${what}`, async () => {
      const tokens = ["a", "b"].map((value) => ({ token: { case: "jti", value } as const }));
      const { code, reason } = await withService(
        { blacklist: () => ({ results, revision: "r" }) },
        ({ blacklist }) => failure(blacklist({ tokens })),
      );
      expect({ code, reason }).to.deep.equal({ code: "INTERNAL", reason: "MALFORMED_ANSWER" });
    });
  }

  it("but accepts any stored token for a raw JWT, whose jti it does not know", async () => {
    const answer = await withService(
      { blacklist: () => ({ results: [A], revision: "r" }) },
      ({ blacklist }) => blacklist({ tokens: [{ token: { case: "jwt", value: "x.y.z" } }] }),
    );
    expect(answer.results.map(({ outcome }) => outcome)).to.deep.equal([Outcome.CREATED]);
  });
});
