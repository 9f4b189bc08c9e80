/** Waiting items of several principals. Principals come in turns, each one's items in the order in which they came. */
export class FairLine<T> {
  /** By the principal's name, whose turn it is next first; only principals that have any. */
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

  /** Takes the next item out, of the principals that `may` come. Its principal goes to the end of the line. */
  next(may: (name: string) => boolean = () => true): T | undefined {
    for (const [name, items] of this.#waiting) {
      if (!may(name)) continue;
      const [item] = items;
      this.#waiting.delete(name);
      items.delete(item as T);
      if (items.size > 0) this.#waiting.set(name, items);
      return item;
    }
    return undefined;
  }
}
