import type { Clock } from "../time/clock.ts";
import type { ClientError, StatusName } from "./client-error.ts";
import type { OutageLog } from "./outage-log.ts";
import type { ClientLog, ClientMetrics } from "./telemetry.ts";

/** Interval at which a client logs that it cannot answer checks, if no outage explains it. */
const CLIENT_LOG_INTERVAL_MS = 10_000;

/**
 * The result of a check that cannot be answered. `throw`: it rejects, and the caller decides. `deny`: `true`, as if the token were
 * blacklisted. `allow`: `false`, but never for a token known to be blacklisted.
 */
export type OnUnavailable = "throw" | "deny" | "allow";

/** Errors of an invalid or aborted check, which no policy replaces. */
const NEVER_REPLACED: readonly StatusName[] = ["INVALID_ARGUMENT", "FAILED_PRECONDITION", "CANCELLED"];

/** What the metrics call the result that each policy gives. */
const OUTCOMES = { throw: "rejected", deny: "denied", allow: "allowed" } as const;

interface Setup {
  readonly onUnavailable: OnUnavailable;
  readonly metrics: ClientMetrics;
  readonly log: Required<ClientLog>;
  readonly clock: Clock;
  /** Logs unanswered checks during an outage. */
  readonly outages: OutageLog;
}

/** Decides which answer replaces an error, and counts unanswered checks. */
export class UnavailablePolicy {
  readonly #setup: Setup;
  /** Unanswered checks since the last log line. */
  #unlogged = 0;
  /** When the last line was logged, by the monotonic clock. */
  #loggedAt = Number.NEGATIVE_INFINITY;

  constructor(setup: Setup) {
    this.#setup = setup;
  }

  /** The answer that replaces `error`; undefined: reject with `error`. */
  decide(error: ClientError, isKnownBlacklisted: () => boolean): boolean | undefined {
    if (NEVER_REPLACED.includes(error.code)) return undefined;
    const { onUnavailable, metrics, outages } = this.#setup;
    const known = isKnownBlacklisted();
    const answer = known || (onUnavailable === "throw" ? undefined : onUnavailable === "deny");
    const outcome = known ? "known-blacklisted" : OUTCOMES[onUnavailable];
    metrics.unanswered?.({ code: error.code, reason: error.reason, outcome, count: 1 });
    if (!known && !outages.countUnanswered(error)) this.#countUnlogged(error);
    return answer;
  }

  /** Logs how many checks went unanswered since the last log line, if any. Call it when checks are answered again. */
  recovered(): void {
    if (this.#unlogged > 0) this.#warn({});
    this.#loggedAt = Number.NEGATIVE_INFINITY;
  }

  #countUnlogged({ code, reason }: ClientError): void {
    this.#unlogged++;
    if (this.#setup.clock.monotonic() - this.#loggedAt >= CLIENT_LOG_INTERVAL_MS)
      this.#warn({ code, reason });
  }

  #warn(details: Readonly<Record<string, unknown>>): void {
    this.#setup.log.warn("checks were not answered", {
      count: this.#unlogged,
      onUnavailable: this.#setup.onUnavailable,
      ...details,
    });
    this.#unlogged = 0;
    this.#loggedAt = this.#setup.clock.monotonic();
  }
}
