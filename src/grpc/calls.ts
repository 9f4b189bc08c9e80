import { MAX_CALLS } from "../limits.ts";

/** Counts the calls being worked on, refuses more than there may be, and knows when the last one has ended. */
export class Calls {
  #active = 0;
  #draining = false;
  readonly #onIdle: (() => void)[] = [];

  get active(): number {
    return this.#active;
  }

  /** Why no call may begin now, or undefined after counting one in. */
  enter(): "DRAINING" | "OVERLOADED" | undefined {
    if (this.#draining) return "DRAINING";
    if (this.#active >= MAX_CALLS) return "OVERLOADED";
    this.#active++;
    return undefined;
  }

  leave(): void {
    this.#active--;
    if (this.#active === 0) for (const idle of this.#onIdle.splice(0)) idle();
  }

  /** Refuses every new call from now on, and resolves when those that have begun are done. */
  drain(): Promise<void> {
    this.#draining = true;
    return new Promise((resolve) => {
      if (this.#active === 0) resolve();
      else this.#onIdle.push(resolve);
    });
  }
}
