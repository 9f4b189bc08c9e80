import type { Logger } from "pino";
import { type PresentedCredentials, presentedToken } from "../auth/presented-token.ts";
import type { Blacklist } from "../blacklist/blacklist.ts";
import type { CheckAnswer, Freshness } from "../blacklist/check-service.ts";
import type { Caller } from "../caller.ts";
import type { Decision, NoJti } from "../decision.ts";
import { ServiceError } from "../errors.ts";
import type { LogSampling } from "../logging/log-sampling.ts";

interface Options {
  readonly blacklist: Pick<Blacklist, "check" | "checkOwnToken">;
  /** The maximum staleness of the answer in milliseconds; 0: fully fresh. */
  readonly maxStalenessMs: number;
  /** Whether the bearer token is read to find the jti to check, without verifying its signature. */
  readonly unverifiedBearer: boolean;
  /** The decision about a request without a token, or with a token without a jti. */
  readonly missingJti: "deny" | "allow";
  /** The decision about a CORS preflight without a token. */
  readonly preflight: "deny" | "allow";
  readonly log: Logger;
  /** Limits the log lines about requests that cannot be decided. */
  readonly sampling: LogSampling;
}

/** Answers a proxy that asks whether a request with a given token may pass. On any failure the decision is not "pass". */
export class TokenAuthorizer {
  readonly #options: Options;
  readonly #freshness: Freshness;

  constructor(options: Options) {
    this.#options = options;
    const { maxStalenessMs: ms } = options;
    this.#freshness = ms === 0 ? { kind: "linearizable" } : { kind: "max-staleness", ms };
  }

  /** `caller` is the proxy. Throws UNAUTHENTICATED, or rejects with it, when the proxy's own token is blacklisted. */
  decide(credentials: PresentedCredentials, caller: Caller): Decision | Promise<Decision> {
    const { blacklist, unverifiedBearer } = this.#options;
    try {
      const token = presentedToken(credentials, { unverifiedBearer });
      if (token.jti === undefined) return this.#withoutJti(token.reason, credentials, caller);
      const answer = blacklist.check([token.jti], this.#freshness, caller);
      return answer instanceof Promise ? answer.then(decisionOf, this.#undecided) : decisionOf(answer);
    } catch (error) {
      return this.#undecided(error);
    }
  }

  #withoutJti(
    reason: NoJti,
    { isPreflight }: PresentedCredentials,
    caller: Caller,
  ): Decision | Promise<Decision> {
    const { blacklist, missingJti, preflight } = this.#options;
    const passes =
      (missingJti === "allow" && reason !== "malformed") ||
      (preflight === "allow" && reason === "no-token" && isPreflight === true);
    const decision = passes ? "pass" : reason;
    // No check is made in this case, so the proxy's own token has to be checked separately.
    if (caller.principal?.token === undefined) return decision;
    return blacklist.checkOwnToken(caller).then(() => decision, this.#undecided);
  }

  /** Logs why there is no decision. Throws the error if it is UNAUTHENTICATED. */
  readonly #undecided = (error: unknown): Decision => {
    if (!(error instanceof ServiceError)) {
      this.#log("error", {}, { err: error });
      return "unknown";
    }
    const { reason, message, cause } = error;
    if (reason === "UNAUTHENTICATED") throw error;
    // The proxy no longer waits for the answer.
    if (reason !== "CANCELLED")
      this.#log("warn", { reason }, { detail: message, ...(cause ? { err: cause } : {}) });
    return "unknown";
  };

  /** Sampled, since every request would cause a line while the database is unavailable. */
  #log(level: "warn" | "error", fields: { readonly reason?: string }, details: object): void {
    const { log, sampling } = this.#options;
    sampling.write(`authz ${fields.reason ?? ""}`, {
      fields,
      details: () => details,
      write: (line) => log[level](line, UNDECIDED),
    });
  }
}

const UNDECIDED = "no decision about a token is possible: its request is denied";

function decisionOf({ verdicts }: CheckAnswer): Decision {
  if (verdicts.length !== 1) return "unknown";
  const [verdict] = verdicts;
  if (verdict === "blacklisted") return "revoked";
  return verdict === "not-blacklisted" ? "pass" : "unknown";
}
