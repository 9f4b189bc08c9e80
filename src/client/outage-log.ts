import type { Clock } from "../time/clock.ts";
import type { ClientError } from "./client-error.ts";
import type { ClientLog } from "./telemetry.ts";

/**
 * A client logs an outage if the service is unavailable for longer than this, or leaves a check unanswered. Neither happens in a rolling
 * restart: the client finds another replica within a second. The outage is over when the service has been available for OUTAGE_OVER_MS.
 */
export const OUTAGE_GRACE_MS = 5000;
export const OUTAGE_OVER_MS = 10_000;

interface Setup {
  readonly log: Required<ClientLog>;
  readonly clock: Clock;
  readonly address: string;
  /** The policy for checks that are not answered. */
  readonly onUnavailable: string;
}

/**
 * Logs once that the service is unavailable, and once that it is available again, however often the state changes in between. The
 * warning follows the first check that cannot be answered, or an outage longer than a rolling restart.
 */
export class OutageLog {
  readonly #setup: Setup;
  #isUnavailable = false;
  /** Whether the warning has been logged, and the end of the outage has not. */
  #isWarned = false;
  /** When the outage began, by the monotonic clock. */
  #beganAt = 0;
  #unanswered = 0;
  #error: ClientError | undefined;
  /** Cancels the scheduled warning or end. */
  #cancelNext = () => {};

  constructor(setup: Setup) {
    this.#setup = setup;
  }

  /** `error` is the error of the call or stream that failed, if any. */
  unavailable(error: ClientError | undefined): void {
    if (error !== undefined) this.#error = error;
    if (this.#isUnavailable) return;
    this.#isUnavailable = true;
    this.#cancelNext();
    if (this.#isWarned) return;
    const { clock } = this.#setup;
    this.#beganAt = clock.monotonic();
    this.#cancelNext = clock.schedule(OUTAGE_GRACE_MS, () => this.#warn());
  }

  /** The end is logged after a delay, because the connection may be lost again. */
  available(): void {
    if (!this.#isUnavailable) return;
    this.#isUnavailable = false;
    this.#cancelNext();
    this.#error = undefined;
    if (!this.#isWarned) return;
    const { clock } = this.#setup;
    const backAt = clock.monotonic();
    this.#cancelNext = clock.schedule(OUTAGE_OVER_MS, () => this.#logEnd(backAt));
  }

  /** Counts a check that was not answered. Returns whether it belongs to an outage, whose warning covers it. */
  countUnanswered(error: ClientError): boolean {
    if (!this.#isUnavailable && !this.#isWarned) return false;
    this.#unanswered++;
    if (!this.#isWarned) {
      this.#error ??= error;
      this.#warn();
    }
    return true;
  }

  close(): void {
    this.#cancelNext();
  }

  #warn(): void {
    this.#cancelNext();
    this.#isWarned = true;
    const { log, address, onUnavailable } = this.#setup;
    // `connection` says why there is no connection; absent if that is unknown or there is one.
    const { code, reason, connection, detail } = this.#error ?? {};
    log.warn("the service is unavailable", { address, code, reason, connection, detail, onUnavailable });
  }

  #logEnd(backAt: number): void {
    const seconds = Math.round((backAt - this.#beganAt) / 1000);
    this.#setup.log.info("the service is available again", { seconds, unanswered: this.#unanswered });
    this.#isWarned = false;
    this.#unanswered = 0;
  }
}
