import { MAX_PENDING_COMMITS } from "../limits.ts";
import { isSameRevision, type Revision } from "../revision.ts";
import type { Store } from "../store/store.ts";

/**
 * The commits whose success this replica has told its callers. A database that lacks one of them has lost commits, whatever else it
 * has. A history that contains a commit contains everything that this commit was made on top of: of the commits that
 * one read has found together, the last stands for all.
 */
export class AcknowledgedCommits {
  readonly #store: Pick<Store, "missing">;
  /** Stands for all that are not pending. */
  #last: Revision | undefined;
  #pending: readonly Revision[] = [];

  constructor(store: Pick<Store, "missing">) {
    this.#store = store;
  }

  /** Those that no read of the changes has found yet, in one history with what it read before. */
  get pending(): readonly Revision[] {
    return this.#pending;
  }

  /** What a database must have that has all of them; at most `MAX_PENDING_COMMITS` + 2. */
  get required(): readonly Revision[] {
    const last = this.#last;
    return last === undefined || contains(this.#pending, last) ? this.#pending : [last, ...this.#pending];
  }

  /**
   * Adds the commit that is about to be acknowledged. Where nobody reads, so that too many are pending, they are looked up: the promise
   * resolves afterwards, or rejects as {@link Store.missing} does.
   */
  add(revision: Revision): void | Promise<void> {
    if (contains(this.required, revision)) return;
    this.#pending = [...this.#pending, revision];
    if (this.#pending.length > MAX_PENDING_COMMITS) return this.#condense();
  }

  /** A read of the changes has found these in one history; they may include commits that were not acknowledged here. */
  followed(found: readonly Revision[]): void {
    const rest = this.#pending.filter((one) => !contains(found, one));
    if (rest.length === this.#pending.length) return;
    this.#last = lastOf(this.required.filter((one) => !contains(rest, one)));
    this.#pending = rest;
  }

  /** A look-up has found these, which were {@link required} when it was sent. The last stays pending: what was read before is not among them. */
  lookedUp(found: readonly Revision[]): void {
    const rest = this.#pending.filter((one) => !contains(found, one));
    const last = lastOf(found);
    if (last === undefined || rest.length === this.#pending.length) return;
    this.#last = last;
    this.#pending = [last, ...rest];
  }

  /** They are not asked for any more: the database has lost some, and the index holds the entries of all. */
  forget(): void {
    this.#last = undefined;
    this.#pending = [];
  }

  async #condense(): Promise<void> {
    const asked = this.required;
    const [lost] = await this.#store.missing(asked);
    if (lost === undefined) this.lookedUp(asked);
    // One that is lost says all that there is to say.
    else this.#pending = [lost, ...this.#pending.filter((one) => !contains(asked, one))];
  }
}

function contains(revisions: readonly Revision[], revision: Revision): boolean {
  return revisions.some((one) => isSameRevision(one, revision));
}

function lastOf(revisions: readonly Revision[]): Revision | undefined {
  let last: Revision | undefined;
  for (const one of revisions) if (last === undefined || one.number > last.number) last = one;
  return last;
}
