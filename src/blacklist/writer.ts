import type { Caller } from "../caller.ts";
import type { Clock } from "../clock.ts";
import type { NewEntry } from "../entry.ts";
import { ServiceError } from "../errors.ts";
import { MAX_COMMIT_BYTES, MAX_COMMIT_ROWS, MAX_QUEUED_TOKENS, SWEEP_INTERVAL_MS } from "../limits.ts";
import type { Revision } from "../revision.ts";
import type { Store } from "../store/store.ts";
import { merge, type Result, Unfold } from "./fold.ts";

export interface Written {
  readonly results: readonly Result[];
  readonly revision: Revision;
}

interface Waiting {
  readonly entries: readonly NewEntry[];
  readonly caller: Caller;
  resolve(written: Written): void;
  reject(error: unknown): void;
}

/**
 * Group commit: while one commit is under way, those who come wait, and all go together in the next. At most one write of this replica
 * is ever in flight, so no queue forms on the row that orders commits.
 */
export class Writer {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #leewayMs: number;
  #waiting: Waiting[] = [];
  #sweptAt = Number.NEGATIVE_INFINITY;
  #queuedTokens = 0;
  #running: Promise<void> | undefined;

  constructor(options: { store: Store; clock: Clock; leewayMs: number }) {
    this.#store = options.store;
    this.#clock = options.clock;
    this.#leewayMs = options.leewayMs;
  }

  /** Resolves once `entries` are durable. Throws OVERLOADED, storing nothing, when too much is queued. */
  write(entries: readonly NewEntry[], caller: Caller): Promise<Written> {
    if (this.#queuedTokens + entries.length > MAX_QUEUED_TOKENS) this.#makeRoom();
    if (this.#queuedTokens + entries.length > MAX_QUEUED_TOKENS) {
      return Promise.reject(new ServiceError("OVERLOADED", "too many revocations are waiting to be written"));
    }
    this.#queuedTokens += entries.length;
    return new Promise((resolve, reject) => {
      this.#waiting.push({ entries, caller, resolve, reject });
      this.#running ??= this.#run();
    });
  }

  /** Resolves when everything accepted so far has been answered. */
  async settled(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0) await this.#commit(this.#take());
    this.#running = undefined;
  }

  /** The next commit's requests, in order of arrival. */
  #take(): Waiting[] {
    this.#dropGone();
    let rows = 0;
    let bytes = 0;
    let count = 0;
    for (const { entries } of this.#waiting) {
      rows += entries.length;
      // Every UTF-16 unit is at most three bytes: close enough, and free.
      for (const { jti, reason, revokedBy } of entries)
        bytes += 3 * (jti.length + reason.length + revokedBy.length);
      if (count > 0 && (rows > MAX_COMMIT_ROWS || bytes > MAX_COMMIT_BYTES)) break;
      this.#queuedTokens -= entries.length;
      count++;
    }
    return this.#waiting.splice(0, count);
  }

  #makeRoom(): void {
    // A storm of refusals must not search the whole queue each time.
    if (this.#clock.monotonic() - this.#sweptAt < SWEEP_INTERVAL_MS) return;
    this.#sweptAt = this.#clock.monotonic();
    this.#dropGone();
  }

  /** What nobody waits for any more was never begun, and takes no one's place. */
  #dropGone(): void {
    this.#waiting = this.#waiting.filter(({ entries, caller, reject }) => {
      if (!caller.gone) return true;
      this.#queuedTokens -= entries.length;
      reject(GONE);
      return false;
    });
  }

  async #commit(group: readonly Waiting[]): Promise<void> {
    if (group.length === 0) return;
    try {
      await this.#write(group);
    } catch (error) {
      if (group.length === 1 || isUnavailable(error)) for (const { reject } of group) reject(error);
      else await this.#commitOneByOne(group);
    }
  }

  /** One request is to blame for a failure, and the others must not suffer for it. */
  async #commitOneByOne(group: readonly Waiting[]): Promise<void> {
    let away: unknown;
    for (const waiting of group) {
      try {
        if (away !== undefined) throw away;
        if (waiting.caller.gone) throw GONE;
        await this.#write([waiting]);
      } catch (error) {
        waiting.reject(error);
        // A thousand requests must not wait for a database that is away one after the other.
        if (isUnavailable(error)) away = error;
      }
    }
  }

  async #write(group: readonly Waiting[]): Promise<void> {
    const terms = { now: this.#clock.now(), leewayMs: this.#leewayMs };
    const { results, revision } = await this.#store.write(merge(group.map(({ entries }) => entries)), terms);
    const unfold = new Unfold(results);
    for (const { entries, resolve } of group) resolve({ results: unfold.next(entries), revision });
  }
}

const GONE = new ServiceError("CANCELLED", "the caller gave up before the write began");

function isUnavailable(error: unknown): boolean {
  return error instanceof ServiceError && error.reason === "STORE_UNAVAILABLE";
}
