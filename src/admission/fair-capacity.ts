/** Whether a share of the capacity counts against its caller's limit ("own") or not ("common"). Needed to give the share back. */
export type Share = "common" | "own";

/**
 * A bounded resource that callers share, such as slots of a queue. The first half is open to all, without accounting. Of the second half, a
 * caller may take no more than then remains free, so that a single caller gets at most three quarters of the resource. Callers without a name
 * are not distinguished, and may take everything.
 */
export class FairCapacity {
  readonly #total: number;
  #taken = 0;
  /** How much of the second half each caller has taken; only callers that have taken any. */
  readonly #own = new Map<string, number>();

  constructor(total: number) {
    this.#total = total;
  }

  /** How much of the capacity is in use. */
  get taken(): number {
    return this.#taken;
  }

  /** How much of the second half the caller `name` has taken. */
  ownOf(name: string): number {
    return this.#own.get(name) ?? 0;
  }

  /** Takes `size` for a caller that is not known yet. Returns false, and takes nothing, if too little is free. */
  enter(size = 1): boolean {
    if (this.#taken + size > this.#total) return false;
    this.#taken += size;
    return true;
  }

  /**
   * Attributes a share taken with {@link enter} to the caller `name`. Undefined if the caller has too much: the share must then be given
   * back as "common".
   */
  claim(name: string, size = 1): Share | undefined {
    if (name === "" || this.#taken <= this.#total / 2) return "common";
    const own = (this.#own.get(name) ?? 0) + size;
    if (own > this.#total - this.#taken) return undefined;
    this.#own.set(name, own);
    return "own";
  }

  /** Takes `size` for the caller `name`. Returns undefined, and takes nothing, if too little is free, or the caller has too much. */
  take(name: string, size = 1): Share | undefined {
    if (!this.enter(size)) return undefined;
    const share = this.claim(name, size);
    if (share === undefined) this.#taken -= size;
    return share;
  }

  /** Gives back a share. `share` is the result of {@link take} or {@link claim}. */
  giveBack(share: Share, name: string, size = 1): void {
    this.#taken -= size;
    if (share === "common") return;
    const left = (this.#own.get(name) ?? 0) - size;
    if (left > 0) this.#own.set(name, left);
    else this.#own.delete(name);
  }
}
