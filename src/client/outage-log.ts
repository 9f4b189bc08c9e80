import type { Clock } from "../clock.ts";
import { OUTAGE_GRACE_MS, OUTAGE_OVER_MS } from "../limits.ts";
import type { ClientError } from "./client-error.ts";
import type { ClientLog } from "./client-log.ts";

interface Setup {
  readonly log: Required<ClientLog>;
  readonly clock: Clock;
  readonly address: string;
  /** What checks come to that are not answered. */
  readonly onUnavailable: string;
}

/**
 * Says once that the service is unavailable, and once that it is available again, however often the state changes in between: a warning
 * follows the first check that goes unanswered, or an absence that is longer than a rolling restart's.
 */
export class OutageLog {
  readonly #setup: Setup;
  #isAway = false;
  /** Whether the warning has been written, and the end of the outage has not. */
  #isTold = false;
  /** By the monotonic clock. */
  #beganAt = 0;
  #unanswered = 0;
  #error: ClientError | undefined;
  /** Takes back what comes next: the warning, or the end. */
  #cancelNext = () => {};

  constructor(setup: Setup) {
    this.#setup = setup;
  }

  /** `error` tells why, where a call or a stream has failed. */
  unavailable(error: ClientError | undefined): void {
    if (error !== undefined) this.#error = error;
    if (this.#isAway) return;
    this.#isAway = true;
    this.#cancelNext();
    if (this.#isTold) return;
    const { clock } = this.#setup;
    this.#beganAt = clock.monotonic();
    this.#cancelNext = clock.schedule(OUTAGE_GRACE_MS, () => this.#tell());
  }

  /** One that is back for a moment may be lost again. */
  available(): void {
    if (!this.#isAway) return;
    this.#isAway = false;
    this.#cancelNext();
    this.#error = undefined;
    if (!this.#isTold) return;
    const { clock } = this.#setup;
    const backAt = clock.monotonic();
    this.#cancelNext = clock.schedule(OUTAGE_OVER_MS, () => this.#tellEnd(backAt));
  }

  /** Counts a check that was not answered. Returns whether it belongs to an outage, which says all there is to say. */
  unanswered(error: ClientError): boolean {
    if (!this.#isAway && !this.#isTold) return false;
    this.#unanswered++;
    if (!this.#isTold) {
      this.#error ??= error;
      this.#tell();
    }
    return true;
  }

  close(): void {
    this.#cancelNext();
  }

  #tell(): void {
    this.#cancelNext();
    this.#isTold = true;
    const { log, address, onUnavailable } = this.#setup;
    const { code, reason, connection, detail } = this.#error ?? {};
    log.warn("the service is unavailable", { address, code, reason, connection, detail, onUnavailable });
  }

  #tellEnd(backAt: number): void {
    const seconds = Math.round((backAt - this.#beganAt) / 1000);
    this.#setup.log.info("the service is available again", { seconds, unanswered: this.#unanswered });
    this.#isTold = false;
    this.#unanswered = 0;
  }
}
