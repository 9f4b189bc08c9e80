import type { Logger } from "pino";
import { type PresentedCredentials, presentedToken } from "../auth/presented-token.ts";
import type { Blacklist } from "../blacklist/blacklist.ts";
import type { CheckAnswer, Freshness } from "../blacklist/check-service.ts";
import type { Caller } from "../caller.ts";
import type { Authz } from "../config/authz.ts";
import type { Decision, NoJti } from "../decision.ts";
import { ServiceError } from "../errors.ts";
import type { LogSampling } from "../logging/log-sampling.ts";

interface Options extends Pick<Authz, "unverifiedBearer" | "missingJti" | "preflight" | "maxStalenessMs"> {
  readonly blacklist: Pick<Blacklist, "check" | "checkOwnToken">;
  readonly log: Logger;
  /** Samples the log lines about requests that cannot be decided. */
  readonly logSampling: LogSampling;
}

/** Decides for a proxy whether its client's request may pass. On a failure the decision is never "pass". */
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
    // A check would look up the proxy's own token too, but without a jti there is none.
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

  /** Samples lines, since every request would cause one while the database is unavailable. */
  #log(level: "warn" | "error", fields: { readonly reason?: string }, details: object): void {
    const { log, logSampling } = this.#options;
    logSampling.write(`authz ${fields.reason ?? ""}`, {
      fields,
      details: () => details,
      write: (line) => log[level](line, "no decision about a token is possible: its request is denied"),
    });
  }
}

function decisionOf({ verdicts }: CheckAnswer): Decision {
  if (verdicts.length !== 1) return "unknown";
  const [verdict] = verdicts;
  if (verdict === "blacklisted") return "revoked";
  return verdict === "not-blacklisted" ? "pass" : "unknown";
}
