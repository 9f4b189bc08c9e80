import { BothClocks } from "../../both-clocks.ts";
import type { Clock } from "../../clock.ts";
import type { EpochMs } from "../../entry.ts";
import { elapsedBetween, elapsedSince, type Instant } from "../../instant.ts";
import { MAX_RESUME_MS, OBSERVED_REVISIONS, SWEEP_INDEX_SEGMENTS } from "../../limits.ts";
import { TokenIndex } from "../../token-index/token-index.ts";

/** The entries of one blacklist, known by the key of their fingerprints. */
interface Table {
  readonly key: Uint8Array;
  readonly index: TokenIndex;
}

/** From where a copy goes on when it was cut off. */
export interface CopyCursor {
  readonly revision: string;
  readonly key: Uint8Array;
}

/**
 * What this process knows of the blacklist, and when it was last proven to be all there is. Entries only ever join, and leave when
 * their time has passed by this machine's clock and the service's; so what was proven once stays true of that moment.
 */
export class Copy {
  readonly #clock: Clock;
  readonly #clocks: BothClocks;
  #table: Table | undefined;
  /** Of blacklists that the service no longer serves: what was revoked in them stays so until it expires. */
  #former: readonly Table[] = [];
  #isComplete = false;
  #isLoading = false;
  #revision: string | undefined;
  /** Revisions that it reflects; the latest ones. */
  readonly #reflected = new Set<string>();
  #provenAt: Instant | undefined;
  #version = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#clocks = new BothClocks(clock);
  }

  /** Whether it has once held everything, so that what it lacks can be ruled out as far as that is proven. */
  get isComplete(): boolean {
    return this.#isComplete;
  }

  /** Whether a snapshot is under way. */
  get isLoading(): boolean {
    return this.#isLoading;
  }

  /** Entries held, expired or not. */
  get size(): number {
    return (this.#table?.index.size ?? 0) + this.#former.reduce((sum, { index }) => sum + index.size, 0);
  }

  /** Keys under which entries are held: the present one, and those of blacklists that are no longer served. */
  get keys(): number {
    return this.#former.length + (this.#table === undefined ? 0 : 1);
  }

  /** While it stays the same, what the copy did not have it still does not have. */
  get version(): number {
    return this.#version;
  }

  /** Undefined where everything has to be sent. */
  get cursor(): CopyCursor | undefined {
    if (this.#table === undefined || this.#revision === undefined) return undefined;
    // So long ago that the service might not see any more that a database was restored in between.
    if (this.#provenAt !== undefined && this.stalenessMs > MAX_RESUME_MS) return undefined;
    return { revision: this.#revision, key: this.#table.key };
  }

  /** Milliseconds since it was proven to be current, at least; infinite where it never was. */
  get stalenessMs(): number {
    return this.#provenAt === undefined
      ? Number.POSITIVE_INFINITY
      : elapsedSince(this.#provenAt, this.#clock);
  }

  /** Not what is no jti. */
  isBlacklisted(jti: string): boolean {
    const print = this.#table?.index.fingerprintIfJti(jti);
    if (print === undefined) return false;
    const until = this.#untilOf(jti, print);
    return until !== 0 && this.#isAhead(until, this.#clock.now());
  }

  /** true: blacklisted. false: it was not, at most `maxStalenessMs` ago. undefined: neither is known, or it is no jti. */
  peek(jti: string, maxStalenessMs: number): boolean | undefined {
    const print = this.#table?.index.fingerprintIfJti(jti);
    if (print === undefined) return undefined;
    // Before the look-up, which is mostly a wait for memory: a processor does what comes next meanwhile, unless that is a clock,
    // which it reads only when memory has answered.
    const wall = this.#clock.now();
    const until = this.#untilOf(jti, print);
    if (until !== 0 && this.#isAhead(until, wall)) return true;
    if (!this.#isComplete || this.#provenAt === undefined) return undefined;
    const elapsedMs = elapsedBetween(this.#provenAt, { monotonic: this.#clock.monotonic(), wall });
    return elapsedMs <= maxStalenessMs ? false : undefined;
  }

  reflects(revision: string): boolean {
    return this.#reflected.has(revision);
  }

  /** The service's time, in milliseconds since 1970, has arrived. */
  observe(time: number): void {
    this.#clocks.observe(time as EpochMs, this.#clock.now());
  }

  /** The service is about to send everything, or with `isSnapshot` false what has changed since the cursor. */
  begin({ isSnapshot, key }: { readonly isSnapshot: boolean; readonly key: Uint8Array }): void {
    const isSame = this.#table !== undefined && Buffer.compare(this.#table.key, key) === 0;
    if (!isSame) this.#replaceTable(key);
    if (!isSnapshot) return;
    // Of another history, perhaps. What it holds stays true.
    this.#isLoading = true;
    this.#revision = undefined;
    this.#reflected.clear();
  }

  put(print: Int32Array, until: number): void {
    this.#version++;
    this.#table?.index.put(print, until);
  }

  /** All that `revision` includes has been put in. */
  reach(revision: string): void {
    // One that was dropped has nothing of it.
    if (this.#table === undefined) return;
    this.#revision = revision;
    this.#isComplete = true;
    this.#isLoading = false;
    this.#reflected.add(revision);
    if (this.#reflected.size > OBSERVED_REVISIONS) {
      const [oldest] = this.#reflected;
      this.#reflected.delete(oldest as string);
    }
  }

  /** It holds everything that was acknowledged before `sentAt`. */
  prove(sentAt: Instant): void {
    this.#provenAt = sentAt;
  }

  /** Forgets a little of what has expired. */
  sweep(): void {
    const now = this.#clocks.earlier();
    this.#table?.index.sweep(now, SWEEP_INDEX_SEGMENTS);
    if (this.#former.length === 0) return;
    for (const { index } of this.#former) index.sweep(now, SWEEP_INDEX_SEGMENTS);
    this.#former = this.#former.filter(({ index }) => index.size > 0);
  }

  /** Gives its memory back. It holds nothing then, and rules nothing out. */
  drop(): void {
    this.#table = undefined;
    this.#former = [];
    this.#isComplete = false;
    this.#isLoading = false;
    this.#revision = undefined;
    this.#reflected.clear();
    this.#provenAt = undefined;
  }

  #untilOf(jti: string, print: Int32Array): number {
    const until = this.#table?.index.expiryAt(print) ?? 0;
    if (this.#former.length === 0) return until;
    return Math.max(until, ...this.#former.map(({ index }) => index.expiryOf(jti)));
  }

  /** The earlier clock is never ahead of this machine's: mostly that one look is enough. */
  #isAhead(until: number, wall: number): boolean {
    return until > wall || until > this.#clocks.earlier();
  }

  #replaceTable(key: Uint8Array): void {
    if (this.#table !== undefined && this.#table.index.size > 0)
      this.#former = [...this.#former, this.#table];
    // The message that the key came in is larger than the key.
    this.#table = { key: Uint8Array.from(key), index: new TokenIndex(key) };
    this.#isComplete = false;
    this.#provenAt = undefined;
  }
}
