import { MAX_ENTRIES_PER_MESSAGE } from "../limits.ts";
import type { Revision } from "../revision.ts";
import { ColumnsBuilder, type EntryColumns, UNTIL_BYTES } from "../token-index/columns.ts";

/** Changes kept for local copies. A copy that missed fewer resumes without a snapshot. */
export const MAX_LOGGED_CHANGES = 20_000;
/** Entries in these changes, 24 bytes each. */
export const MAX_LOGGED_ENTRIES = 200_000;

/** The entries that one or several reads of the database added to the index. */
export interface Change extends EntryColumns {
  /** The revision that this change completes; undefined if more changes of its revision follow. */
  readonly revision: Revision | undefined;
}

/** The changes numbered from `from` up to but excluding `next`, merged into one. */
interface MergedChanges {
  readonly change: Change;
  readonly from: number;
  readonly next: number;
}

/**
 * The latest changes of the index, for the clients that keep a copy of the blacklist by `Watch`. Each stream reads from its own position,
 * so a slow stream costs no memory beyond its position. The oldest changes are dropped even if a stream still needs them.
 */
export class ChangeLog {
  /** The entries added since the last change ended. */
  readonly #entries = new ColumnsBuilder();
  #changes: Change[] = [];
  /** The number of the first change kept. Numbers are never reused. */
  #first = 0;
  #keptEntries = 0;
  /** All changes after the revision with this number are kept; undefined: no such revision is known. */
  #since: number | undefined;
  /** The last revision that a change completes. */
  #last: Revision | undefined;
  #epoch = 0;
  #isOpen = false;
  /** The last merged changes, cached because copies that are equally far behind get the same ones. */
  #merged: MergedChanges | undefined;
  /** Called after each change, and when the log opens or closes. */
  onChange = () => {};

  /** Whether the index to which the changes belong is complete. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Increases with every new index; changes logged under an earlier epoch belong to another index. */
  get epoch(): number {
    return this.#epoch;
  }

  /** The number of the first change kept. */
  get first(): number {
    return this.#first;
  }

  /** The number of the next change to be logged. */
  get end(): number {
    return this.#first + this.#changes.length;
  }

  /** Called when the index has been loaded or reloaded: it is complete, and all changes after the commit `since` will be logged. */
  open(since: number): void {
    this.#drop(this.#changes.length);
    this.#entries.take();
    this.#since = since;
    this.#last = undefined;
    this.#epoch++;
    this.#isOpen = true;
    this.onChange();
  }

  /** Called when the index is no longer complete. */
  close(): void {
    this.#isOpen = false;
    this.onChange();
  }

  /**
   * Adds an entry that has joined the index or was extended. `until` is when it stops being BLACKLISTED: milliseconds since 1970,
   * leeway included.
   */
  add(fingerprint: Int32Array, until: number): void {
    if (this.#isOpen) this.#entries.add(fingerprint, until);
  }

  /** Logs the entries added since the last call as one change that completes `revision`; undefined: the revision is not complete yet. */
  endChange(revision: Revision | undefined): void {
    if (!this.#isOpen) return;
    const isNew = revision !== undefined && revision.number !== this.#last?.number;
    if (this.#entries.size === 0 && !isNew) return;
    this.#keptEntries += this.#entries.size;
    this.#changes.push({ ...this.#entries.take(), revision });
    if (revision !== undefined) this.#last = revision;
    this.#trim();
    this.onChange();
  }

  /** The change with this number; undefined if it is not logged yet or has been dropped. */
  changeNumbered(number: number): Change | undefined {
    return this.#changes[number - this.#first];
  }

  /**
   * Merges the first of the changes numbered from `from` up to but excluding `end`: at least one, and as many as fit into one message, so
   * that a copy that is behind catches up with few messages. All of these changes must be kept.
   */
  merge(from: number, end: number): MergedChanges {
    const first = this.#changes[from - this.#first] as Change;
    let next = from + 1;
    for (let size = sizeOf(first); next < end; next++) {
      size += sizeOf(this.#changes[next - this.#first] as Change);
      if (size > MAX_ENTRIES_PER_MESSAGE) break;
    }
    if (next === from + 1) return { change: first, from, next };
    if (this.#merged?.from !== from || this.#merged.next !== next) {
      const changes = this.#changes.slice(from - this.#first, next - this.#first);
      this.#merged = { change: mergeChanges(changes), from, next };
    }
    return this.#merged as MergedChanges;
  }

  /**
   * The number of the change at which to resume for a copy that has all changes up to `revision`; undefined if a change in between
   * has been dropped.
   */
  positionAfter(revision: number): number | undefined {
    for (let index = this.#changes.length - 1; index >= 0; index--) {
      const reached = this.#changes[index]?.revision;
      if (reached !== undefined && reached.number <= revision) return this.#first + index + 1;
    }
    return this.#since !== undefined && this.#since <= revision ? this.#first : undefined;
  }

  /** Drops the oldest changes once there are too many: a quarter at a time, because each removal moves the rest of the array. */
  #trim(): void {
    if (this.#keptEntries <= MAX_LOGGED_ENTRIES && this.#changes.length <= MAX_LOGGED_CHANGES) return;
    let count = 0;
    let kept = this.#keptEntries;
    while (
      kept > (MAX_LOGGED_ENTRIES * 3) / 4 ||
      this.#changes.length - count > (MAX_LOGGED_CHANGES * 3) / 4
    ) {
      const change = this.#changes[count++] as Change;
      kept -= sizeOf(change);
      // A revision that has lost a part is incomplete: no copy can resume in the middle of it.
      this.#since = change.revision?.number;
    }
    this.#drop(count);
  }

  #drop(count: number): void {
    for (const change of this.#changes.splice(0, count)) this.#keptEntries -= sizeOf(change);
    this.#first += count;
  }
}

function mergeChanges(changes: readonly Change[]): Change {
  return {
    fingerprints: Buffer.concat(changes.map(({ fingerprints }) => fingerprints)),
    until: Buffer.concat(changes.map(({ until }) => until)),
    revision: changes.findLast(({ revision }) => revision !== undefined)?.revision,
  };
}

function sizeOf({ until }: EntryColumns): number {
  return until.length / UNTIL_BYTES;
}
