import type { Caller } from "../caller.ts";
import type { EpochMs, Jti } from "../entry.ts";
import { ServiceError } from "../errors.ts";
import { MAX_QUEUED_JTIS, MAX_READ_BYTES, MAX_READ_JTIS } from "../limits.ts";
import { formatRevision, type Revision } from "../revision.ts";
import { SharedRounds } from "../shared-rounds.ts";
import type { DatabaseState, LookupResult, Store } from "../store/store.ts";
import type { Clock } from "../time/clock.ts";
import type { AcknowledgedCommits } from "./acknowledged-commits.ts";
import type { CheckAnswer, CheckService, Freshness } from "./check-service.ts";
import { type Observer, UNOBSERVED } from "./observer.ts";
import { type QueuedRequest, RequestQueue } from "./request-queue.ts";
import { COMMITS_LOST, READ_ONLY, REVISION_LOST } from "./unavailability.ts";
import { verdictsOf } from "./verdicts.ts";

interface WaitingCheck extends QueuedRequest {
  readonly jtis: readonly Jti[];
  readonly freshness: Freshness;
  resolve(answer: CheckAnswer): void;
}

interface Options {
  readonly store: Store;
  /** Commits that the database must contain. If it lacks one, no negative is given: no index knows the lost entries in its place. */
  readonly acknowledged: AcknowledgedCommits;
  readonly clock: Clock;
  readonly leewayMs: number;
  readonly observer?: Observer;
}

/**
 * Answers from the database with one read in flight at a time, shared by all waiting calls. A call that arrives while a read is in
 * flight waits for the next read, since the current one may have begun before a commit that the call must see. So every answer is
 * fresh.
 */
export class CoalescedChecks implements CheckService {
  readonly #store: Store;
  readonly #acknowledged: AcknowledgedCommits;
  readonly #clock: Clock;
  readonly #leewayMs: number;
  readonly #observer: Observer;
  readonly #waiting: RequestQueue<WaitingCheck>;
  readonly #reads: SharedRounds<WaitingCheck[]>;

  constructor(options: Options) {
    this.#store = options.store;
    this.#acknowledged = options.acknowledged;
    this.#clock = options.clock;
    this.#leewayMs = options.leewayMs;
    this.#observer = options.observer ?? UNOBSERVED;
    this.#waiting = new RequestQueue({ clock: options.clock, room: MAX_QUEUED_JTIS });
    this.#reads = new SharedRounds({
      take: () => this.#take(),
      send: (group) => void this.#answer(group).then(() => this.#reads.ended()),
    });
  }

  check(jtis: readonly Jti[], freshness: Freshness, caller: Caller): Promise<CheckAnswer> {
    return new Promise((resolve, reject) => {
      const room = this.#waiting.add({ jtis, freshness, size: jtis.length, caller, resolve, reject });
      if (!room) reject(new ServiceError("OVERLOADED", "too many checks are waiting to be answered"));
      else {
        caller.trace?.waits("look-up");
        this.#reads.requested();
      }
    });
  }

  /** Reads the state of the database. Throws NOT_FRESH if it lacks a commit that this replica has acknowledged. */
  async standing(): Promise<DatabaseState> {
    const sighting = await this.#lookUp([]);
    if (!sighting.intact) throw COMMITS_LOST;
    return sighting;
  }

  async #lookUp(jtis: readonly Jti[]): Promise<LookupResult> {
    const { required } = this.#acknowledged;
    const sighting = await this.#store.read(jtis, required);
    if (sighting.intact) this.#acknowledged.lookedUp(required);
    return sighting;
  }

  /** The calls of the next read. */
  #take(): WaitingCheck[] | undefined {
    let total = 0;
    let bytes = 0;
    return this.#waiting.take(({ jtis }) => {
      total += jtis.length;
      for (const jti of jtis) bytes += Buffer.byteLength(jti);
      return total <= MAX_READ_JTIS && bytes <= MAX_READ_BYTES;
    });
  }

  async #answer(group: readonly WaitingCheck[]): Promise<void> {
    try {
      const asked = new Set<Jti>();
      for (const { jtis, caller } of group) {
        for (const jti of jtis) asked.add(jti);
        const own = caller.principal?.jti;
        if (own !== undefined) asked.add(own);
      }
      const sighting = await this.#read([...asked], group);
      const knowledge = {
        expiryOf: (jti: Jti) => sighting.expiries.get(jti) ?? 0,
        now: Math.min(sighting.clock, this.#clock.now()) as EpochMs,
        leewayMs: this.#leewayMs,
        revision: sighting.revision,
      };
      const doubts = await this.#doubts(group, sighting);
      for (const waiting of group) {
        try {
          const { caller, freshness, jtis } = waiting;
          const revisionDoubt =
            freshness.kind === "at-least" ? doubts.get(formatRevision(freshness.revision)) : undefined;
          const doubt = revisionDoubt ?? doubtOf(sighting);
          waiting.resolve(verdictsOf(jtis, knowledge, { caller, doubt }));
        } catch (error) {
          waiting.reject(error);
        }
      }
    } catch (error) {
      for (const { reject } of group) reject(error);
    }
  }

  async #read(jtis: readonly Jti[], sharing: readonly WaitingCheck[]): Promise<LookupResult> {
    const began = this.#clock.monotonic();
    let succeeded = false;
    try {
      const sighting = await this.#lookUp(jtis);
      succeeded = true;
      return sighting;
    } finally {
      this.#observer.asked({ sharing, succeeded, milliseconds: this.#clock.monotonic() - began });
    }
  }

  /**
   * The error for each requested revision, by the revision's text, that makes negatives unavailable: the revision is lost, or
   * looking it up failed.
   */
  async #doubts(
    group: readonly WaitingCheck[],
    { revision }: LookupResult,
  ): Promise<ReadonlyMap<string, unknown>> {
    const named = new Map<string, Revision>();
    for (const { freshness } of group) {
      if (freshness.kind === "at-least") named.set(formatRevision(freshness.revision), freshness.revision);
    }
    // The most common revision needs no look-up, because it is the last one.
    named.delete(formatRevision(revision));
    try {
      const missing = await this.#store.missing([...named.values()]);
      return new Map(missing.map((lost) => [formatRevision(lost), REVISION_LOST]));
    } catch (error) {
      return new Map([...named.keys()].map((text) => [text, error]));
    }
  }
}

/** The error that makes negatives unavailable for all calls; undefined if there is none. */
function doubtOf({ writable, intact }: LookupResult): unknown {
  if (!writable) return READ_ONLY;
  return intact ? undefined : COMMITS_LOST;
}
