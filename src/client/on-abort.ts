interface Listeners {
  readonly callbacks: Set<() => void>;
  readonly tell: () => void;
}

// Keyed by what callers bring, and gone with it.
const listening = new WeakMap<AbortSignal, Listeners>();

/**
 * Calls `callback`, a function of this call's own, when `signal` is aborted. The returned function takes it back.
 *
 * However many wait for a signal, it has one listener: Node.js 20 warns of more than ten, and a signal looks through all that it has for each
 * that comes and goes.
 */
export function onAbort(signal: AbortSignal | undefined, callback: () => void): () => void {
  if (signal === undefined) return nothing;
  const known = listening.get(signal) ?? listen(signal);
  known.callbacks.add(callback);
  return () => {
    known.callbacks.delete(callback);
    if (known.callbacks.size > 0 || listening.get(signal) !== known) return;
    listening.delete(signal);
    signal.removeEventListener("abort", known.tell);
  };
}

function listen(signal: AbortSignal): Listeners {
  const callbacks = new Set<() => void>();
  const tell = () => {
    for (const callback of callbacks) callback();
  };
  const listeners = { callbacks, tell };
  listening.set(signal, listeners);
  signal.addEventListener("abort", tell, { once: true });
  return listeners;
}

function nothing(): void {}
