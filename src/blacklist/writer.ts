import type { Caller } from "../caller.ts";
import type { NewEntry } from "../entry.ts";
import { isUnavailable, ServiceError } from "../errors.ts";
import type { Revision } from "../revision.ts";
import { SharedRounds } from "../shared-rounds.ts";
import type { CommitResult, Store } from "../store/store.ts";
import type { Clock } from "../time/clock.ts";
import { mergeWrites, SplitResults, type TokenResult } from "./merge-writes.ts";
import type { Observer } from "./observer.ts";
import { ABANDONED, type QueuedRequest, RequestQueue } from "./request-queue.ts";

/** Rows and bytes of one commit: far below `max_allowed_packet` (16 MiB), and few enough to hold the lock briefly. */
export const MAX_COMMIT_ROWS = 2000;
export const MAX_COMMIT_BYTES = 1024 * 1024;
/** Tokens queued to be written before Blacklist is refused as OVERLOADED: as many as ten full commits. */
export const MAX_QUEUED_TOKENS = 20_000;

export interface Written {
  readonly results: readonly TokenResult[];
  readonly revision: Revision;
}

interface WaitingWrite extends QueuedRequest {
  readonly entries: readonly NewEntry[];
  resolve(written: Written): void;
}

interface Options {
  readonly store: Store;
  /**
   * Called for every commit before the requests that share it are answered. If it throws, those requests fail with that error,
   * because the outcome of the commit is then unknown.
   */
  readonly onCommit: (result: CommitResult) => void | Promise<void>;
  readonly clock: Clock;
  readonly leewayMs: number;
  readonly observer?: Observer;
}

/**
 * Group commit: requests that arrive while a commit is in flight wait, and go together in the next one. At most one write of this
 * replica is in flight, so no queue forms on the row that orders commits.
 */
export class Writer {
  readonly #options: Options;
  readonly #waiting: RequestQueue<WaitingWrite>;
  readonly #commits: SharedRounds<WaitingWrite[]>;
  #committing: Promise<void> | undefined;

  constructor(options: Options) {
    this.#options = options;
    this.#waiting = new RequestQueue({ clock: options.clock, capacity: MAX_QUEUED_TOKENS });
    this.#commits = new SharedRounds({
      take: () => this.#take(),
      send: (group) => {
        this.#committing = this.#commit(group).then(() => this.#commits.ended());
      },
    });
  }

  /** Resolves once `entries` are durable. Throws OVERLOADED, storing nothing, when too much is queued. */
  write(entries: readonly NewEntry[], caller: Caller): Promise<Written> {
    return new Promise((resolve, reject) => {
      const isAdded = this.#waiting.add({ entries, size: entries.length, caller, resolve, reject });
      if (!isAdded) reject(new ServiceError("OVERLOADED", "too many revocations are waiting to be written"));
      else {
        caller.trace?.waits("commit");
        this.#commits.requested();
      }
    });
  }

  /** Resolves when everything accepted so far has been answered. */
  async settled(): Promise<void> {
    while (this.#commits.isBusy) await this.#committing;
  }

  #take(): WaitingWrite[] | undefined {
    let rows = 0;
    let bytes = 0;
    return this.#waiting.take(({ entries }) => {
      rows += entries.length;
      for (const { key, reason, revokedBy } of entries) {
        // A UTF-16 unit takes at most three bytes in UTF-8.
        bytes += 3 * (key.length + reason.length + revokedBy.length);
      }
      return rows <= MAX_COMMIT_ROWS && bytes <= MAX_COMMIT_BYTES;
    });
  }

  async #commit(group: readonly WaitingWrite[]): Promise<void> {
    try {
      await this.#write(group);
    } catch (error) {
      if (group.length === 1 || isUnavailable(error)) for (const { reject } of group) reject(error);
      else await this.#commitOneByOne(group);
    }
  }

  /** One request may have caused the failure; the others must not fail because of it. */
  async #commitOneByOne(group: readonly WaitingWrite[]): Promise<void> {
    let outage: unknown;
    for (const waiting of group) {
      try {
        if (outage !== undefined) throw outage;
        if (waiting.caller.isGone) throw ABANDONED;
        await this.#write([waiting]);
      } catch (error) {
        waiting.reject(error);
        // A thousand requests must not wait for an unavailable database one after another.
        if (isUnavailable(error)) outage = error;
      }
    }
  }

  async #write(group: readonly WaitingWrite[]): Promise<void> {
    const result = await this.#storeMerged(group);
    await this.#options.onCommit(result);
    const { results, revision } = result;
    const split = new SplitResults(results);
    for (const { entries, resolve } of group) resolve({ results: split.next(entries), revision });
  }

  async #storeMerged(participants: readonly WaitingWrite[]): Promise<CommitResult> {
    const { clock, leewayMs, observer, store } = this.#options;
    const began = clock.monotonic();
    let results: CommitResult["results"] | undefined;
    try {
      const merged = mergeWrites(participants.map(({ entries }) => entries));
      const result = await store.write(merged, { now: clock.now(), leewayMs });
      results = result.results;
      return result;
    } finally {
      observer?.committed({ participants, results, milliseconds: clock.monotonic() - began });
    }
  }
}
