import type { Caller } from "../caller.ts";
import type { EntryKey, EpochMs } from "../entry.ts";
import { ServiceError } from "../errors.ts";
import { MAX_QUEUED_JTIS } from "../limits.ts";
import { formatRevision, type Revision } from "../revision.ts";
import { SharedRounds } from "../shared-rounds.ts";
import type { DatabaseState, LookupResult, Store } from "../store/store.ts";
import type { Clock } from "../time/clock.ts";
import { addKeysOf, entriesFound, type TokenIdentity } from "../token-identity.ts";
import type { AcknowledgedCommits } from "./acknowledged-commits.ts";
import { type CheckAnswer, type CheckService, type Freshness, verdictsOf } from "./check-service.ts";
import type { Observer } from "./observer.ts";
import { type QueuedRequest, RequestQueue } from "./request-queue.ts";
import { COMMITS_LOST, READ_ONLY, REVISION_LOST } from "./unavailability.ts";

/** Jtis of one coalesced read, which then takes about five milliseconds. Later calls wait for the next read. */
export const MAX_READ_JTIS = 1000;
/** Bytes of the jtis of one coalesced read. As hexadecimal literals they stay below SQLite's bound on the text of a statement, 1,000,000 bytes. */
export const MAX_READ_BYTES = 300 * 1024;

interface WaitingCheck extends QueuedRequest {
  readonly tokens: readonly TokenIdentity[];
  readonly freshness: Freshness;
  resolve(answer: CheckAnswer): void;
}

interface Options {
  readonly store: Store;
  /** Commits that the database must contain. If it lacks one of them, entries are lost, so negatives are unavailable. */
  readonly acknowledged: AcknowledgedCommits;
  readonly clock: Clock;
  readonly leewayMs: number;
  readonly observer?: Observer;
}

/**
 * Answers from the database with one read in flight at a time, shared by all waiting calls. A call that arrives while a read is in
 * flight waits for the next read, since the current one may have begun before a commit that the call must see.
 */
export class CoalescedChecks implements CheckService {
  readonly #options: Options;
  readonly #waiting: RequestQueue<WaitingCheck>;
  readonly #reads: SharedRounds<WaitingCheck[]>;

  constructor(options: Options) {
    this.#options = options;
    this.#waiting = new RequestQueue({ clock: options.clock, capacity: MAX_QUEUED_JTIS });
    this.#reads = new SharedRounds({
      take: () => this.#take(),
      send: (group) => void this.#answer(group).then(() => this.#reads.ended()),
    });
  }

  check(tokens: readonly TokenIdentity[], freshness: Freshness, caller: Caller): Promise<CheckAnswer> {
    return new Promise((resolve, reject) => {
      // A call without tokens asks about its revision only.
      const size = Math.max(1, tokens.length);
      const isAdded = this.#waiting.add({ tokens, freshness, size, caller, resolve, reject });
      if (!isAdded) reject(new ServiceError("OVERLOADED", "too many checks are waiting to be answered"));
      else {
        caller.trace?.waits("look-up");
        this.#reads.requested();
      }
    });
  }

  /** Reads the state of the database. Throws NOT_FRESH if it lacks a commit that this replica has acknowledged. */
  async databaseState(): Promise<DatabaseState> {
    const result = await this.#lookUp([]);
    if (!result.intact) throw COMMITS_LOST;
    return result;
  }

  async #lookUp(keys: readonly EntryKey[]): Promise<LookupResult> {
    const { acknowledged, store } = this.#options;
    const { required } = acknowledged;
    const result = await store.read(keys, required);
    if (result.intact) acknowledged.foundByLookup(required);
    return result;
  }

  #take(): WaitingCheck[] | undefined {
    let total = 0;
    let bytes = 0;
    const keys = new Set<EntryKey>();
    return this.#waiting.take(({ tokens }) => {
      for (const token of tokens) addKeysOf(token, keys);
      total += Math.max(1, keys.size);
      for (const key of keys) bytes += Buffer.byteLength(key);
      keys.clear();
      return total <= MAX_READ_JTIS && bytes <= MAX_READ_BYTES;
    });
  }

  async #answer(group: readonly WaitingCheck[]): Promise<void> {
    try {
      const keys = new Set<EntryKey>();
      for (const { tokens, caller } of group) {
        for (const token of tokens) addKeysOf(token, keys);
        const own = caller.principal?.token;
        if (own !== undefined) addKeysOf(own, keys);
      }
      const { clock, leewayMs } = this.#options;
      const result = await this.#read([...keys], group);
      const state = {
        entries: entriesFound(result.found),
        now: Math.min(result.clock, clock.now()) as EpochMs,
        leewayMs,
        revision: result.revision,
      };
      const lost = await this.#lostRevisions(group, result);
      for (const waiting of group) {
        try {
          const { caller, freshness, tokens } = waiting;
          const lostRevision =
            freshness.kind === "at-least" ? lost.get(formatRevision(freshness.revision)) : undefined;
          const unavailable = lostRevision ?? unavailabilityOf(result);
          waiting.resolve(verdictsOf(tokens, state, { caller, unavailable }));
        } catch (error) {
          waiting.reject(error);
        }
      }
    } catch (error) {
      for (const { reject } of group) reject(error);
    }
  }

  async #read(keys: readonly EntryKey[], participants: readonly WaitingCheck[]): Promise<LookupResult> {
    const { clock, observer } = this.#options;
    const began = clock.monotonic();
    let succeeded = false;
    try {
      const result = await this.#lookUp(keys);
      succeeded = true;
      return result;
    } finally {
      observer?.lookedUp({ participants, succeeded, milliseconds: clock.monotonic() - began });
    }
  }

  /**
   * The error for each requested revision, by the revision's text, that makes negatives unavailable: the revision is lost, or
   * looking it up failed.
   */
  async #lostRevisions(
    group: readonly WaitingCheck[],
    { revision }: LookupResult,
  ): Promise<ReadonlyMap<string, unknown>> {
    const named = new Map<string, Revision>();
    for (const { freshness } of group) {
      if (freshness.kind === "at-least") named.set(formatRevision(freshness.revision), freshness.revision);
    }
    // The last revision, which most calls name, needs no look-up.
    named.delete(formatRevision(revision));
    try {
      const missing = await this.#options.store.missing([...named.values()]);
      return new Map(missing.map((lost) => [formatRevision(lost), REVISION_LOST]));
    } catch (error) {
      return new Map([...named.keys()].map((text) => [text, error]));
    }
  }
}

/** The error that makes negatives unavailable for all calls; undefined if there is none. */
function unavailabilityOf({ writable, intact }: LookupResult): unknown {
  if (!writable) return READ_ONLY;
  return intact ? undefined : COMMITS_LOST;
}
