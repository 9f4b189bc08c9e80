/** A queue of items, each of which belongs to a caller. Callers take turns; the items of each caller are in order of arrival. */
export class FairQueue<T> {
  /** The items of each caller, by the caller's name; the caller with the next turn first; only callers with items. */
  readonly #waiting = new Map<string, Set<T>>();

  get isEmpty(): boolean {
    return this.#waiting.size === 0;
  }

  has(name: string, item: T): boolean {
    return this.#waiting.get(name)?.has(item) ?? false;
  }

  add(name: string, item: T): void {
    const items = this.#waiting.get(name) ?? new Set();
    this.#waiting.set(name, items.add(item));
  }

  delete(name: string, item: T): boolean {
    const items = this.#waiting.get(name);
    if (items === undefined || !items.delete(item)) return false;
    if (items.size === 0) this.#waiting.delete(name);
    return true;
  }

  /** Removes and returns the next item of the first eligible caller, who moves to the end of the queue. */
  next(isEligible: (name: string) => boolean = () => true): T | undefined {
    for (const [name, items] of this.#waiting) {
      if (!isEligible(name)) continue;
      const [item] = items;
      this.#waiting.delete(name);
      items.delete(item as T);
      if (items.size > 0) this.#waiting.set(name, items);
      return item;
    }
    return undefined;
  }
}
