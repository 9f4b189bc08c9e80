import type { Clock } from "./time/clock.ts";

interface Options<G> {
  /** Removes from the waiting requests those of the next round, and returns them; undefined if none waits. */
  readonly take: () => G | undefined;
  /** Sends a round for these requests. {@link SharedRounds.ended} must be called once for each round. */
  readonly send: (group: G) => void;
  /**
   * While no round is in flight, the first request waits for others until a turn of the event loop brings none, for at most this many
   * turns. Absent: 0, the round is sent at once.
   */
  readonly turns?: number;
  /** Sends further rounds beside slow ones. Absent: one round is in flight at a time. */
  readonly beside?: {
    readonly clock: Clock;
    /** The maximum of rounds in flight. */
    readonly most: number;
    /** Milliseconds after one round was sent until the next may be sent beside it. */
    readonly afterMs: number;
  };
}

/**
 * Rounds that requests share: those made while a round is in flight wait, and share a later one.
 *
 * A request joins only a round that is sent after the request was made, because the result of an earlier round may be older than the
 * request. So rounds are sent in one place, {@link next}, which takes the requests of a round before it sends the round.
 */
export class SharedRounds<G> {
  readonly #options: Options<G>;
  readonly #most: number;
  #inFlight = 0;
  /** Whether a round is to be sent at the end of a turn. */
  #isPlanned = false;
  /** The number of requests since the last round was sent. */
  #requests = 0;
  /** When the last round was sent, by the monotonic clock; only with `beside`. */
  #sentAt = 0;
  /** Cancels the timer that sends a round beside a slow one. */
  #cancelTimer: (() => void) | undefined;

  constructor(options: Options<G>) {
    this.#options = options;
    this.#most = options.beside?.most ?? 1;
  }

  /** Whether any round is in flight. */
  get isBusy(): boolean {
    return this.#inFlight > 0;
  }

  /** There is a new request, which `take` can find. Sends a round now or in time. */
  requested(): void {
    this.#requests++;
    this.#plan(this.#options.turns ?? 0);
  }

  /** A round is over. The next one is sent at once, or `turns` turns later at most, like the first. */
  ended(turns = 0): void {
    this.#inFlight--;
    this.#plan(turns);
  }

  /** Sends a round at once, unless no request waits or too many rounds are in flight. */
  next(): void {
    if (this.#inFlight >= this.#most) return;
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    const { beside, send, take } = this.#options;
    const group = take();
    if (group === undefined) return;
    this.#inFlight++;
    this.#requests = 0;
    if (beside !== undefined) this.#sentAt = beside.clock.monotonic();
    send(group);
  }

  #plan(turns: number): void {
    if (this.#isPlanned || this.#inFlight >= this.#most) return;
    if (this.#inFlight > 0) this.#sendBeside();
    else if (turns === 0) this.next();
    else this.#collect(turns);
  }

  #collect(turns: number): void {
    this.#isPlanned = true;
    let seen = this.#requests;
    let turn = 1;
    const go = () => {
      if (this.#requests > seen && turn < turns) {
        seen = this.#requests;
        turn++;
        setImmediate(go);
        return;
      }
      this.#isPlanned = false;
      this.next();
    };
    setImmediate(go);
  }

  #sendBeside(): void {
    const { beside } = this.#options;
    if (beside === undefined || this.#cancelTimer !== undefined) return;
    const { afterMs, clock } = beside;
    const wait = Math.max(0, this.#sentAt + afterMs - clock.monotonic());
    this.#cancelTimer = clock.schedule(wait, () => {
      this.#cancelTimer = undefined;
      this.next();
    });
  }
}
