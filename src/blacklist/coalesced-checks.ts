import type { Caller } from "../caller.ts";
import type { Clock } from "../clock.ts";
import type { EpochMs, Jti } from "../entry.ts";
import { ServiceError } from "../errors.ts";
import { MAX_QUEUED_JTIS, MAX_READ_BYTES, MAX_READ_JTIS, SWEEP_INTERVAL_MS } from "../limits.ts";
import { formatRevision, type Revision } from "../revision.ts";
import type { Sighting, Store } from "../store/store.ts";
import type { CheckAnswer, Checks, Freshness, Verdict } from "./checks.ts";

interface Waiting {
  readonly jtis: readonly Jti[];
  readonly freshness: Freshness;
  readonly caller: Caller;
  resolve(answer: CheckAnswer): void;
  reject(error: unknown): void;
}

/**
 * Answers from the database: one read under way at a time, shared by all who wait. Those who come while it
 * is under way wait for the next, since it may have begun before something they must see; so every answer is fresh.
 */
export class CoalescedChecks implements Checks {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #leewayMs: number;
  #waiting: Waiting[] = [];
  #sweptAt = Number.NEGATIVE_INFINITY;
  #queuedJtis = 0;
  #reading = false;

  constructor(options: { store: Store; clock: Clock; leewayMs: number }) {
    this.#store = options.store;
    this.#clock = options.clock;
    this.#leewayMs = options.leewayMs;
  }

  check(jtis: readonly Jti[], freshness: Freshness, caller: Caller): Promise<CheckAnswer> {
    if (this.#queuedJtis + jtis.length > MAX_QUEUED_JTIS) this.#makeRoom();
    if (this.#queuedJtis + jtis.length > MAX_QUEUED_JTIS) {
      return Promise.reject(new ServiceError("OVERLOADED", "too many checks are waiting to be answered"));
    }
    this.#queuedJtis += jtis.length;
    return new Promise((resolve, reject) => {
      this.#waiting.push({ jtis, freshness, caller, resolve, reject });
      if (!this.#reading) void this.#run();
    });
  }

  async #run(): Promise<void> {
    this.#reading = true;
    while (this.#waiting.length > 0) {
      const group = this.#take();
      if (group.length > 0) await this.#answer(group);
    }
    this.#reading = false;
  }

  /** Takes the next read's calls off the list before it is sent: whoever is added later is not answered by it. */
  #take(): Waiting[] {
    this.#dropGone();
    let total = 0;
    let bytes = 0;
    let count = 0;
    for (const { jtis } of this.#waiting) {
      total += jtis.length;
      for (const jti of jtis) bytes += Buffer.byteLength(jti);
      if (count > 0 && (total > MAX_READ_JTIS || bytes > MAX_READ_BYTES)) break;
      this.#queuedJtis -= jtis.length;
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

  /** What nobody waits for any more takes no one's place. */
  #dropGone(): void {
    this.#waiting = this.#waiting.filter(({ jtis, caller, reject }) => {
      if (!caller.gone) return true;
      this.#queuedJtis -= jtis.length;
      reject(GONE);
      return false;
    });
  }

  async #answer(group: readonly Waiting[]): Promise<void> {
    try {
      const asked = new Set<Jti>();
      for (const { jtis } of group) for (const jti of jtis) asked.add(jti);
      const sighting = await this.#store.read([...asked]);
      const now = Math.min(sighting.clock, this.#clock.now()) as EpochMs;
      const doubts = await this.#doubts(group, sighting);
      for (const waiting of group) {
        try {
          waiting.resolve(answer(waiting, sighting, { now, leewayMs: this.#leewayMs, doubts }));
        } catch (error) {
          waiting.reject(error);
        }
      }
    } catch (error) {
      for (const { reject } of group) reject(error);
    }
  }

  /** Why nothing can be ruled out for those who name a revision, by its text: it is lost, or could not be looked up. */
  async #doubts(group: readonly Waiting[], { revision }: Sighting): Promise<ReadonlyMap<string, unknown>> {
    const named = new Map<string, Revision>();
    for (const { freshness } of group) {
      if (freshness.kind === "at-least") named.set(formatRevision(freshness.revision), freshness.revision);
    }
    // The commonest one needs no question: it is the last.
    named.delete(formatRevision(revision));
    try {
      const missing = await this.#store.missing([...named.values()]);
      return new Map(missing.map((lost) => [formatRevision(lost), REVISION_LOST]));
    } catch (error) {
      return new Map([...named.keys()].map((text) => [text, error]));
    }
  }
}

const GONE = new ServiceError("CANCELLED", "the caller gave up before the check began");

const REVISION_LOST = new ServiceError(
  "REVISION_LOST",
  "the database does not have the revision named: it was restored, or is another one",
);

const READ_ONLY = new ServiceError(
  "NOT_FRESH",
  "the database is read-only and may lag behind: nothing can be ruled out",
);

function answer(
  { jtis, freshness }: Waiting,
  { expiries, revision, writable }: Sighting,
  { now, leewayMs, doubts }: { now: EpochMs; leewayMs: number; doubts: ReadonlyMap<string, unknown> },
): CheckAnswer {
  const revisionDoubt =
    freshness.kind === "at-least" ? doubts.get(formatRevision(freshness.revision)) : undefined;
  const doubt = revisionDoubt ?? (writable ? undefined : READ_ONLY);
  let positives = 0;
  const verdicts = jtis.map((jti): Verdict => {
    const expiresAt = expiries.get(jti);
    if (expiresAt !== undefined && expiresAt + leewayMs > now) {
      positives++;
      return "blacklisted";
    }
    return doubt === undefined ? "not-blacklisted" : "unknown";
  });
  if (doubt !== undefined && positives === 0) throw doubt;
  return { verdicts, revision };
}
