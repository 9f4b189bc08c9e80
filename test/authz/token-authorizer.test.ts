import { expect } from "chai";
import { TokenAuthorizer } from "../../src/authz/token-authorizer.ts";
import type { Blacklist } from "../../src/blacklist/blacklist.ts";
import type { Freshness, Verdict } from "../../src/blacklist/check-service.ts";
import type { Caller } from "../../src/caller.ts";
import { ROLES } from "../../src/caller.ts";
import type { Decision } from "../../src/decision.ts";
import type { Jti } from "../../src/entry.ts";
import { type Reason, ServiceError, storeUnavailable, unauthenticated } from "../../src/errors.ts";
import { LOGGED_REFUSALS, LogSampling } from "../../src/logging/log-sampling.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { memoryLog } from "../support/memory-log.ts";
import { rejection } from "../support/rejection.ts";

const CALLER: Caller = { isGone: false };
/** A proxy whose own token can be blacklisted. */
const PROXY: Caller = {
  isGone: false,
  principal: { name: "proxy", roles: new Set(ROLES), token: "own" as Jti },
};
const TOKEN = { verifiedJtis: ["secret-jti"], authorization: [] };
const NOTHING = { verifiedJtis: [], authorization: [] };

interface Terms {
  readonly missingJti?: "deny" | "allow";
  readonly maxStalenessMs?: number;
  readonly preflight?: "deny" | "allow";
}

/** An authorizer whose blacklist gives this answer, synchronously or not. */
type Told = () => readonly Verdict[] | Promise<readonly Verdict[]>;

function gateThatIsTold(
  told: Told,
  { missingJti = "deny", maxStalenessMs = 0, preflight = "deny" }: Terms = {},
) {
  const asked: [jtis: readonly Jti[], freshness: Freshness][] = [];
  const revision = { number: 1, stamp: "0".repeat(16) };
  const blacklist: Pick<Blacklist, "check" | "checkOwnToken"> = {
    check(jtis, freshness) {
      asked.push([jtis, freshness]);
      const verdicts = told();
      return verdicts instanceof Promise
        ? verdicts.then((later) => ({ verdicts: later, revision }))
        : { verdicts: verdicts, revision };
    },
    async checkOwnToken() {
      await told();
    },
  };
  const { log, lines, records } = memoryLog();
  const logSampling = new LogSampling(new FakeClock());
  const gate = new TokenAuthorizer({
    blacklist,
    maxStalenessMs,
    unverifiedBearer: false,
    missingJti,
    preflight,
    log,
    logSampling,
  });
  return { gate, asked, lines, records };
}

const RULINGS: readonly [verdicts: readonly Verdict[], ruling: Decision][] = [
  [["blacklisted"], "revoked"],
  [["not-blacklisted"], "pass"],
  [["unknown"], "unknown"],
  [[], "unknown"],
  [["not-blacklisted", "not-blacklisted"], "unknown"],
];

describe("TokenAuthorizer", () => {
  it("samples its log lines while the database is unavailable", async () => {
    const { gate, records } = gateThatIsTold(async () => {
      throw storeUnavailable("the database cannot be reached");
    });
    for (let asked = 0; asked < 1000; asked++) expect(await gate.decide(TOKEN, CALLER)).to.equal("unknown");
    expect(records()).to.have.length(LOGGED_REFUSALS);
  });

  for (const [verdicts, ruling] of RULINGS) {
    it(`decides "${ruling}" for [${verdicts}], synchronously or not`, async () => {
      const { gate } = gateThatIsTold(() => verdicts);
      expect(gate.decide(TOKEN, CALLER)).to.equal(ruling);
      const later = gateThatIsTold(async () => verdicts);
      expect(await later.gate.decide(TOKEN, CALLER)).to.equal(ruling);
    });
  }

  it("checks the one token with the configured staleness", () => {
    const asked = [0, 250].flatMap((maxStalenessMs) => {
      const told = gateThatIsTold(() => ["blacklisted"], { maxStalenessMs });
      void told.gate.decide(TOKEN, CALLER);
      return told.asked;
    });
    expect(asked).to.deep.equal([
      [["secret-jti"], { kind: "linearizable" }],
      [["secret-jti"], { kind: "max-staleness", ms: 250 }],
    ]);
  });

  const DOUBTS: readonly Reason[] = [
    ...(["STORE_UNAVAILABLE", "NOT_FRESH", "DRAINING", "OVERLOADED", "KEYS_UNAVAILABLE"] as const),
    ...(["DEADLINE_EXCEEDED", "REVISION_LOST", "INTERNAL", "INVALID_REQUEST"] as const),
  ];
  for (const missingJti of ["deny", "allow"] as const) {
    for (const reason of DOUBTS) {
      it(`never passes a request that it cannot decide for ${reason}, with MISSING_JTI=${missingJti}`, async () => {
        const error = new ServiceError(reason, "text", { cause: new Error("why") });
        const thrown = gateThatIsTold(
          () => {
            throw error;
          },
          { missingJti },
        );
        const rejected = gateThatIsTold(() => Promise.reject(error), { missingJti });
        expect([
          thrown.gate.decide(TOKEN, CALLER),
          await rejected.gate.decide(TOKEN, CALLER),
          await rejected.gate.decide(NOTHING, PROXY),
        ]).to.deep.equal(["unknown", "unknown", "unknown"]);
        const [record] = thrown.records();
        expect(record).to.deep.include({ level: "warn", reason, detail: "text" });
        expect(record?.err).to.deep.include({ message: "why" });
        expect(thrown.lines.join()).not.to.include("secret-jti");
      });
    }
  }

  it("treats an unexpected error as unknown, and logs it as an error", async () => {
    const { gate, records } = gateThatIsTold(() => Promise.reject(new TypeError("a bug")));
    expect(await gate.decide(TOKEN, CALLER)).to.equal("unknown");
    expect(records()[0]).to.deep.include({ level: "error" });
  });

  it("logs nothing for a cancelled request", async () => {
    const { gate, lines } = gateThatIsTold(() => Promise.reject(new ServiceError("CANCELLED", "gone")));
    expect([await gate.decide(TOKEN, CALLER), lines]).to.deep.equal(["unknown", []]);
  });

  it("refuses a proxy whose own token is blacklisted, whether or not the request has a token", async () => {
    for (const shown of [TOKEN, NOTHING]) {
      const { gate } = gateThatIsTold(() => Promise.reject(unauthenticated("own")), { missingJti: "allow" });
      expect(await rejection(Promise.resolve(gate.decide(shown, PROXY)))).to.include({
        reason: "UNAUTHENTICATED",
      });
    }
  });

  it("passes a preflight without a token if configured, and nothing else", async () => {
    const unasked = () => {
      throw new Error("no check expected");
    };
    const preflight = { ...NOTHING, isPreflight: true };
    const { gate } = gateThatIsTold(unasked, { preflight: "allow" });
    const denying = gateThatIsTold(unasked);
    expect([
      gate.decide(preflight, CALLER),
      gate.decide(NOTHING, CALLER),
      gate.decide({ ...preflight, verifiedJtis: [undefined] }, CALLER),
      gate.decide({ ...preflight, verifiedJtis: [7] }, CALLER),
      denying.gate.decide(preflight, CALLER),
    ]).to.deep.equal(["pass", "no-token", "no-jti", "malformed", "no-token"]);
    const revoked = gateThatIsTold(() => ["blacklisted"], { preflight: "allow" });
    expect(revoked.gate.decide({ ...TOKEN, isPreflight: true }, CALLER)).to.equal("revoked");
  });

  const MISSING = {
    "no token": [{ verifiedJtis: [], authorization: [] }, "no-token", "pass"],
    "a token without a jti": [{ verifiedJtis: [undefined], authorization: [] }, "no-jti", "pass"],
    "a malformed one": [{ verifiedJtis: [7], authorization: [] }, "malformed", "malformed"],
    "two credentials": [
      { verifiedJtis: ["a"], authorization: ["Bearer a", "Bearer b"] },
      "malformed",
      "malformed",
    ],
  } as const;
  for (const [what, [shown, denied, allowed]] of Object.entries(MISSING)) {
    it(`makes no check for ${what}: ${denied}, or with MISSING_JTI=allow ${allowed}`, async () => {
      const told = (missingJti: "deny" | "allow") =>
        gateThatIsTold(() => ["not-blacklisted"], { missingJti });
      for (const caller of [CALLER, PROXY]) {
        const [deny, allow] = [told("deny"), told("allow")];
        expect([
          await deny.gate.decide(shown, caller),
          await allow.gate.decide(shown, caller),
          deny.asked,
          allow.asked,
        ]).to.deep.equal([denied, allowed, [], []]);
      }
    });
  }
});
