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
  /** Whether each is called once only. */
  readonly #listeners = new Map<StateListener, boolean>();
  readonly #onThrown: () => void;

  /** `onThrown` is called for a listener that throws or rejects: it must not take a check, or the process, down with it. */
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
    for (const [listener, isOnce] of [...this.#listeners]) {
      if (isOnce) this.#listeners.delete(listener);
      this.#tell(listener, state);
    }
  }

  /** A listener that is added twice is called once for each state, and as long as either asks for it. */
  on(event: unknown, listener: StateListener): void {
    expectListener(event, listener);
    this.#listeners.set(listener, false);
  }

  once(event: unknown, listener: StateListener): void {
    expectListener(event, listener);
    if (!this.#listeners.has(listener)) this.#listeners.set(listener, true);
  }

  off(event: unknown, listener: StateListener): void {
    expectListener(event, listener);
    this.#listeners.delete(listener);
  }

  #tell(listener: StateListener, state: ClientState): void {
    try {
      // What an async function returns, whatever its type says here.
      const returned: unknown = listener(state);
      if (returned instanceof Promise) returned.catch(this.#onThrown);
    } catch {
      this.#onThrown();
    }
  }
}

function expectListener(event: unknown, listener: unknown): void {
  if (event !== "state") {
    const given = typeof event === "string" ? JSON.stringify(event) : typeof event;
    throw new TypeError(`there is no event ${given}: the client has one, "state"`);
  }
  if (typeof listener !== "function") throw new TypeError("the listener must be a function");
}
