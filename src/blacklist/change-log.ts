import { MAX_ENTRIES_A_MESSAGE, MAX_LOGGED_CHANGES, MAX_LOGGED_ENTRIES } from "../limits.ts";
import type { Revision } from "../revision.ts";
import { type Columns, ColumnsBuilder, UNTIL_BYTES } from "../token-index/columns.ts";

/** What one read of the database has brought. */
export interface Change extends Columns {
  /** All that it includes has been logged, here or before; undefined where more of it follows. */
  readonly revision: Revision | undefined;
}

/** Changes that go out as one. */
export interface Together {
  readonly change: Change;
  readonly from: number;
  /** The number of the first change that is not among them. */
  readonly next: number;
}

/**
 * The latest changes of the index, for those who keep copies: each goes on from where it is, so that one that is slow costs
 * nothing but the place it has come to. Bounded: the oldest changes are dropped, whoever would still have needed them.
 */
export class ChangeLog {
  readonly #entries = new ColumnsBuilder();
  #changes: Change[] = [];
  /** The number of the first change that is kept. Numbers are never used again. */
  #first = 0;
  #kept = 0;
  /** Everything after this revision is kept; undefined: there is no telling. */
  #since: number | undefined;
  #last: Revision | undefined;
  #epoch = 0;
  #isOpen = false;
  /** The last that were put together: copies that are equally far behind are given the same. */
  #together: Together | undefined;
  readonly #listeners = new Set<() => void>();

  /** Whether there is an index that the changes belong to. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Changes with every new index: what was logged before belongs to another one. */
  get epoch(): number {
    return this.#epoch;
  }

  /** The number of the first change that is kept. */
  get first(): number {
    return this.#first;
  }

  /** The number that the next change will have. */
  get end(): number {
    return this.#first + this.#changes.length;
  }

  /** The index has been loaded, or loaded anew: it is complete, and whatever changes in it after the commit `since` will be logged. */
  open(since: number): void {
    this.#drop(this.#changes.length);
    this.#entries.take();
    this.#since = since;
    this.#last = undefined;
    this.#epoch++;
    this.#isOpen = true;
    this.#tell();
  }

  /** There is no complete index any more. */
  close(): void {
    this.#isOpen = false;
    this.#tell();
  }

  /** An entry that has joined the index, or lasts for longer: until when it answers BLACKLISTED, leeway included. */
  add(print: Int32Array, until: number): void {
    if (this.#isOpen) this.#entries.add(print, until);
  }

  /** What was added since the last time is one change, and with it `revision` is complete; undefined: it is not yet. */
  commit(revision: Revision | undefined): void {
    if (!this.#isOpen) return;
    const isNew = revision !== undefined && revision.number !== this.#last?.number;
    if (this.#entries.size === 0 && !isNew) return;
    this.#kept += this.#entries.size;
    this.#changes.push({ ...this.#entries.take(), revision });
    if (revision !== undefined) this.#last = revision;
    this.#forget();
    this.#tell();
  }

  /** The change with this number; undefined where it is not there yet, or no more. */
  at(number: number): Change | undefined {
    return this.#changes[number - this.#first];
  }

  /**
   * The changes from `from` on and before `end`, all of which are kept, as one: the first, and as many more as a message may hold. Who
   * is behind catches up so, however many changes it is.
   */
  together(from: number, end: number): Together {
    const first = this.#changes[from - this.#first] as Change;
    let next = from + 1;
    for (let size = sizeOf(first); next < end; next++) {
      size += sizeOf(this.#changes[next - this.#first] as Change);
      if (size > MAX_ENTRIES_A_MESSAGE) break;
    }
    if (next === from + 1) return { change: first, from, next };
    if (this.#together?.from !== from || this.#together.next !== next) {
      const changes = this.#changes.slice(from - this.#first, next - this.#first);
      this.#together = { change: asOne(changes), from, next };
    }
    return this.#together as Together;
  }

  /** From which change to go on for one who has everything up to a revision; undefined where some of it is not kept. */
  after(revision: number): number | undefined {
    for (let index = this.#changes.length - 1; index >= 0; index--) {
      const reached = this.#changes[index]?.revision;
      if (reached !== undefined && reached.number <= revision) return this.#first + index + 1;
    }
    return this.#since !== undefined && this.#since <= revision ? this.#first : undefined;
  }

  /** `listener` is called after each change, and when the log opens or closes. The returned function ends that. */
  listen(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** A quarter at a time: dropping from the front of a list costs as much as what is left of it. */
  #forget(): void {
    if (this.#kept <= MAX_LOGGED_ENTRIES && this.#changes.length <= MAX_LOGGED_CHANGES) return;
    let count = 0;
    let kept = this.#kept;
    while (
      kept > (MAX_LOGGED_ENTRIES * 3) / 4 ||
      this.#changes.length - count > (MAX_LOGGED_CHANGES * 3) / 4
    ) {
      const change = this.#changes[count++] as Change;
      kept -= sizeOf(change);
      // Without its last part a revision is only half there: nobody can go on from the middle of it.
      this.#since = change.revision?.number;
    }
    this.#drop(count);
  }

  #drop(count: number): void {
    for (const change of this.#changes.splice(0, count)) this.#kept -= sizeOf(change);
    this.#first += count;
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}

/** What the last revision of them completes, they complete. */
function asOne(changes: readonly Change[]): Change {
  return {
    fingerprints: joined(changes.map(({ fingerprints }) => fingerprints)),
    until: joined(changes.map(({ until }) => until)),
    revision: changes.findLast(({ revision }) => revision !== undefined)?.revision,
  };
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function sizeOf({ until }: Columns): number {
  return until.length / UNTIL_BYTES;
}
