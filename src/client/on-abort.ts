interface Listeners {
  readonly callbacks: Set<() => void>;
  readonly listener: () => void;
}

// Weak, so that an entry is collected with its signal.
const listening = new WeakMap<AbortSignal, Listeners>();

/**
 * Calls `callback`, a function created for this call, when `signal` is aborted. The returned function removes it.
 *
 * A signal has one listener however many callbacks it has: Node.js 20 warns of more than ten listeners, and adding or removing a
 * listener searches all listeners of the signal.
 */
export function onAbort(signal: AbortSignal | undefined, callback: () => void): () => void {
  if (signal === undefined) return doNothing;
  const known = listening.get(signal) ?? listen(signal);
  known.callbacks.add(callback);
  return () => {
    known.callbacks.delete(callback);
    if (known.callbacks.size > 0 || listening.get(signal) !== known) return;
    listening.delete(signal);
    signal.removeEventListener("abort", known.listener);
  };
}

function listen(signal: AbortSignal): Listeners {
  const callbacks = new Set<() => void>();
  const listener = () => {
    for (const callback of callbacks) callback();
  };
  const listeners = { callbacks, listener };
  listening.set(signal, listeners);
  signal.addEventListener("abort", listener, { once: true });
  return listeners;
}

function doNothing(): void {}
