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

  /** Takes `size` while it is not known for whom. False, and nothing taken: there is no room. */
  enter(size = 1): boolean {
    if (this.#taken + size > this.#room) return false;
    this.#taken += size;
    return true;
  }

  /** What has entered is for the principal of this name. Undefined where that has too much: the room has to be given back as "common" then. */
  claim(name: string, size = 1): Part | undefined {
    if (name === "" || this.#taken <= this.#room / 2) return "common";
    const own = (this.#own.get(name) ?? 0) + size;
    if (own > this.#room - this.#taken) return undefined;
    this.#own.set(name, own);
    return "own";
  }

  /** Takes `size` for the principal of this name. Undefined, and nothing taken: there is no room for it. */
  take(name: string, size = 1): Part | undefined {
    if (!this.enter(size)) return undefined;
    const part = this.claim(name, size);
    if (part === undefined) this.#taken -= size;
    return part;
  }

  /** Gives back what {@link take} or {@link claim} has returned `part` for. */
  giveBack(part: Part, name: string, size = 1): void {
    this.#taken -= size;
    if (part === "common") return;
    const left = (this.#own.get(name) ?? 0) - size;
    if (left > 0) this.#own.set(name, left);
    else this.#own.delete(name);
  }
}
