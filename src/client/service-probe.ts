import { Verdict } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import type { Clock } from "../clock.ts";
import { CHECK_TIMEOUT_MS, PROBE_INTERVAL_MS } from "../limits.ts";
import type { TokenBlacklistClient } from "./client.ts";
import { ClientError } from "./client-error.ts";

/** No issuer gives it out: its answer is of no interest. */
const PROBE_JTI = "token-blacklist-client-probe";

interface Setup {
  readonly isBlacklisted: TokenBlacklistClient["isBlacklisted"];
  readonly clock: Clock;
  /** Whether there is a reason to ask, or to ask again. */
  readonly isWanted: () => boolean;
  /** How it went; undefined: the service answers checks. */
  readonly onAnswer: (error: ClientError | undefined) => void;
}

/** Asks the service a question of the client's own, again and again as long as that is wanted: whether checks are answered. */
export class ServiceProbe {
  readonly #setup: Setup;
  readonly #closing = new AbortController();
  #isAsking = false;
  /** Takes the timer back until the next question. */
  #cancelNext: (() => void) | undefined;

  constructor(setup: Setup) {
    this.#setup = setup;
  }

  /** Asks now, unless that has been done within {@link PROBE_INTERVAL_MS}. */
  start(): void {
    if (this.#cancelNext === undefined) this.hurry();
  }

  /** Asks now, unless it is asking. */
  hurry(): void {
    if (this.#isAsking || this.#closing.signal.aborted) return;
    this.#cancelNext?.();
    this.#cancelNext = undefined;
    this.#isAsking = true;
    void this.#ask();
  }

  close(): void {
    this.#closing.abort();
    this.#cancelNext?.();
  }

  async #ask(): Promise<void> {
    const { isBlacklisted, clock, isWanted, onAnswer } = this.#setup;
    const { signal } = this.#closing;
    let error: ClientError | undefined;
    try {
      const { verdicts } = await isBlacklisted(
        { jtis: [PROBE_JTI] },
        { timeoutMs: CHECK_TIMEOUT_MS, signal },
      );
      if (verdicts[0] === Verdict.UNKNOWN) {
        error = new ClientError("UNAVAILABLE", "the service cannot tell just now", { reason: "NOT_FRESH" });
      }
    } catch (cause) {
      error =
        cause instanceof ClientError ? cause : new ClientError("INTERNAL", "the client failed", { cause });
    }
    this.#isAsking = false;
    if (signal.aborted) return;
    this.#cancelNext = clock.schedule(PROBE_INTERVAL_MS, () => {
      this.#cancelNext = undefined;
      if (isWanted()) this.hurry();
    });
    onAnswer(error);
  }
}
