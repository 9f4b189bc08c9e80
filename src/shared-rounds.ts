import type { Clock } from "./time/clock.ts";

/** The maximum time for which a round collects requests. It always collects for one turn of the event loop. */
const MAX_COLLECTING_MS = 5;

interface Options<G> {
  /** Removes from the waiting requests those of the next round, and returns them as a group; undefined if none waits. */
  readonly take: () => G | undefined;
  /** Sends a round for these requests. When it has ended, {@link SharedRounds.ended} must be called. */
  readonly send: (group: G) => void;
  /**
   * For at most how many turns of the event loop a round collects requests while no other round is in flight. It is sent earlier, after a
   * turn that brings no further request. Default: 0, the round is sent at once.
   */
  readonly maxTurns?: number;
  /** Also ends the collecting of a round after MAX_COLLECTING_MS. Absent: only `maxTurns` limits it. */
  readonly clock?: Clock;
  /** Sends further rounds while slow ones are in flight. Absent: one round is in flight at a time. */
  readonly parallel?: {
    readonly clock: Clock;
    /** The maximum number of rounds in flight. */
    readonly maxInFlight: number;
    /** A round in flight is slow this many milliseconds after it was sent. */
    readonly afterMs: number;
  };
}

/**
 * Rounds that requests share: those made while a round is in flight wait, and share a later one.
 *
 * A request joins only a round that is sent after the request was made, because the result of an earlier round may be older than the
 * request. So rounds are sent in one place, {@link sendNext}, which takes the requests of a round before it sends the round.
 */
export class SharedRounds<G> {
  readonly #options: Options<G>;
  readonly #maxInFlight: number;
  #inFlight = 0;
  /** Whether a round is collecting requests, and will be sent. */
  #isPlanned = false;
  /** The number of requests since the last round was sent. */
  #requests = 0;
  /** When the last round was sent, by the monotonic clock; only with `parallel`. */
  #sentAt = 0;
  /** Cancels the timer that sends a round while a slow one is in flight. */
  #cancelTimer: (() => void) | undefined;

  constructor(options: Options<G>) {
    this.#options = options;
    this.#maxInFlight = options.parallel?.maxInFlight ?? 1;
  }

  /** Whether any round is in flight. */
  get isBusy(): boolean {
    return this.#inFlight > 0;
  }

  /** To be called for each new request, once `take` can find it. Sends a round now or later. */
  requested(): void {
    this.#requests++;
    this.#plan(this.#options.maxTurns ?? 0);
  }

  /**
   * To be called when a round has ended. If no other round is in flight, the next one is sent at once, or, with `maxTurns`, collects requests
   * for at most so many turns. Otherwise it is sent once the last round sent is slow.
   */
  ended(maxTurns = 0): void {
    this.#inFlight--;
    this.#plan(maxTurns);
  }

  /** Sends a round at once, unless no request waits or too many rounds are in flight. */
  sendNext(): void {
    if (this.#inFlight >= this.#maxInFlight) return;
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    const { parallel, send, take } = this.#options;
    const group = take();
    if (group === undefined) return;
    this.#inFlight++;
    this.#requests = 0;
    if (parallel !== undefined) this.#sentAt = parallel.clock.monotonic();
    send(group);
  }

  #plan(maxTurns: number): void {
    if (this.#isPlanned || this.#inFlight >= this.#maxInFlight) return;
    if (this.#inFlight > 0) this.#sendInParallel();
    else if (maxTurns === 0) this.sendNext();
    else this.#sendAfterTurns(maxTurns);
  }

  #sendAfterTurns(maxTurns: number): void {
    this.#isPlanned = true;
    let seen = this.#requests;
    let turn = 1;
    const { clock } = this.#options;
    const endsAt = (clock?.monotonic() ?? 0) + MAX_COLLECTING_MS;
    const hasTime = () => clock === undefined || clock.monotonic() < endsAt;
    const go = () => {
      if (this.#requests > seen && turn < maxTurns && hasTime()) {
        seen = this.#requests;
        turn++;
        setImmediate(go);
        return;
      }
      this.#isPlanned = false;
      this.sendNext();
    };
    setImmediate(go);
  }

  #sendInParallel(): void {
    const { parallel } = this.#options;
    if (parallel === undefined || this.#cancelTimer !== undefined) return;
    const { afterMs, clock } = parallel;
    const wait = Math.max(0, this.#sentAt + afterMs - clock.monotonic());
    this.#cancelTimer = clock.schedule(wait, () => {
      this.#cancelTimer = undefined;
      this.sendNext();
    });
  }
}
