/**
 * How things stand between the client and the service. `connecting`: nothing has answered yet. `loading`: in replica mode,
 * the copy is not complete, and checks ask the service. `ready`: questions are answered. `unavailable`: the last attempt to
 * reach the service, or to get an answer from it, failed. `closed`: by `close()`, for good.
 */
export type ClientState = "connecting" | "loading" | "ready" | "unavailable" | "closed";

export type StateListener = (state: ClientState) => void;

/** The state, and who is told when it changes. */
export class StateCell {
  #state: ClientState = "connecting";
  readonly #listeners = new Set<StateListener>();
  readonly #onThrown: () => void;

  /** `onThrown` is called for a listener that throws: it must not take a check down with it. */
  constructor(onThrown: () => void) {
    this.#onThrown = onThrown;
  }

  get state(): ClientState {
    return this.#state;
  }

  /** Nothing comes after `closed`. */
  set(state: ClientState): void {
    if (state === this.#state || this.#state === "closed") return;
    this.#state = state;
    for (const listener of [...this.#listeners]) {
      try {
        listener(state);
      } catch {
        this.#onThrown();
      }
    }
  }

  on(listener: StateListener): void {
    this.#listeners.add(listener);
  }

  off(listener: StateListener): void {
    this.#listeners.delete(listener);
  }
}
