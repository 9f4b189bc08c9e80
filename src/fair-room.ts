/** From which part of a room a share was taken: whoever gives it back has to say. */
export type Part = "common" | "own";

/**
 * Room that principals share, such as places in a queue. The first half is anybody's, and nothing is kept of who has it. From then on a principal
 * may have at most as much of the second half as it leaves free for all others, so that no principal can take all: one alone gets
 * three quarters. Callers without a name are not told apart, and may take everything.
 */
export class FairRoom {
  readonly #room: number;
  #taken = 0;
  /** What each principal has of the second half; only principals that have any. */
  readonly #own = new Map<string, number>();

  constructor(room: number) {
    this.#room = room;
  }

  get taken(): number {
    return this.#taken;
  }

  /** Whether there is room for `size` in all, whoever asks. */
  fits(size: number): boolean {
    return this.#taken + size <= this.#room;
  }

  /** Takes `size` for the principal of this name. Undefined, and nothing taken: there is no room for it. */
  take(name: string, size = 1): Part | undefined {
    const taken = this.#taken + size;
    if (taken > this.#room) return undefined;
    if (name === "" || taken <= this.#room / 2) {
      this.#taken = taken;
      return "common";
    }
    const own = (this.#own.get(name) ?? 0) + size;
    if (own > this.#room - taken) return undefined;
    this.#own.set(name, own);
    this.#taken = taken;
    return "own";
  }

  /** Gives back what {@link take} has returned `part` for. */
  giveBack(part: Part, name: string, size = 1): void {
    this.#taken -= size;
    if (part === "common") return;
    const left = (this.#own.get(name) ?? 0) - size;
    if (left > 0) this.#own.set(name, left);
    else this.#own.delete(name);
  }
}
