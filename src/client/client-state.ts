/**
 * The state of the connection to the service. `connecting`: no answer yet. `loading`: in local mode, the copy is not complete,
 * and checks go to the service. `ready`: checks are answered. `unavailable`: the last attempt to reach the service, or to get an
 * answer from it, failed. `closed`: by `close()`, for good.
 */
export type ClientState = "connecting" | "loading" | "ready" | "unavailable" | "closed";

export type StateListener = (state: ClientState) => void;

/** The state and its listeners. */
export class StateEmitter {
  #state: ClientState = "connecting";
  /** Each listener, and whether it is called only once. */
  readonly #listeners = new Map<StateListener, boolean>();
  readonly #onThrown: () => void;

  /** `onThrown` is called for a listener that throws or rejects, so that it fails neither a check nor the process. */
  constructor(onThrown: () => void) {
    this.#onThrown = onThrown;
  }

  get state(): ClientState {
    return this.#state;
  }

  /** `closed` is final. */
  set(state: ClientState): void {
    if (state === this.#state || this.#state === "closed") return;
    this.#state = state;
    for (const [listener, isOnce] of [...this.#listeners]) {
      if (isOnce) this.#listeners.delete(listener);
      this.#call(listener, state);
    }
  }

  /** A listener that is added twice is called once per state. `on` overrides `once`. */
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

  #call(listener: StateListener, state: ClientState): void {
    try {
      // An async listener returns a promise, although its type says void.
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
