import { isSameRevision, type Revision } from "../revision.ts";
import type { Store } from "../store/store.ts";

/** The bound on {@link AcknowledgedCommits.unconfirmed}. A commit that exceeds it is acknowledged only once a SELECT has found all of these. */
export const MAX_UNCONFIRMED_COMMITS = 60;

/**
 * Commits that this replica has acknowledged to its callers. A database that lacks any of them has lost commits. When one read finds
 * several commits, the last one stands for all of them: a database that contains it also contains those before it.
 */
export class AcknowledgedCommits {
  readonly #store: Pick<Store, "missing">;
  /** The last acknowledged commit that has been found. It stands for those before it: one read has found it together with them. */
  #last: Revision | undefined;
  #unconfirmed: readonly Revision[] = [];

  constructor(store: Pick<Store, "missing">) {
    this.#store = store;
  }

  /** Acknowledged commits that the follower has not found yet. Its next read must find them. */
  get unconfirmed(): readonly Revision[] {
    return this.#unconfirmed;
  }

  /** The commits that a database must contain to contain all acknowledged ones; at most `MAX_UNCONFIRMED_COMMITS` + 2. */
  get required(): readonly Revision[] {
    const last = this.#last;
    return last === undefined || contains(this.#unconfirmed, last)
      ? this.#unconfirmed
      : [last, ...this.#unconfirmed];
  }

  /**
   * Adds a commit that is about to be acknowledged. When no reads take place and too many commits are unconfirmed, looks them up in the
   * database: the promise then resolves after the look-up, or rejects as {@link Store.missing} does.
   */
  add(revision: Revision): void | Promise<void> {
    if (contains(this.required, revision)) return;
    this.#unconfirmed = [...this.#unconfirmed, revision];
    if (this.#unconfirmed.length > MAX_UNCONFIRMED_COMMITS) return this.#lookUpAll();
  }

  /** Called when the follower has found these commits by one read. Some may have been acknowledged by other replicas only. */
  foundByFollower(found: readonly Revision[]): void {
    const rest = this.#unconfirmed.filter((one) => !contains(found, one));
    if (rest.length === this.#unconfirmed.length) return;
    this.#last = lastOf(this.required.filter((one) => !contains(rest, one)));
    this.#unconfirmed = rest;
  }

  /**
   * Called when a look-up has found these commits, which were {@link required} when it was sent. The last one stays unconfirmed: the
   * look-up did not search for the revisions that the follower has read, so the follower's next read must find it together with them.
   */
  foundByLookup(found: readonly Revision[]): void {
    const rest = this.#unconfirmed.filter((one) => !contains(found, one));
    const last = lastOf(found);
    if (last === undefined || rest.length === this.#unconfirmed.length) return;
    this.#last = last;
    this.#unconfirmed = [last, ...rest];
  }

  /** Stops requiring these commits: the database has lost some of them, and the index holds the entries of all of them. */
  forget(): void {
    this.#last = undefined;
    this.#unconfirmed = [];
  }

  async #lookUpAll(): Promise<void> {
    const required = this.required;
    const [lost] = await this.#store.missing(required);
    if (lost === undefined) this.foundByLookup(required);
    // One lost commit is enough to prove that commits are lost.
    else this.#unconfirmed = [lost, ...this.#unconfirmed.filter((one) => !contains(required, one))];
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
