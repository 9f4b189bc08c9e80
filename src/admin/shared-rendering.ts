import { performance } from "node:perf_hooks";
import { setTimeout as delay } from "node:timers/promises";
import { RENDERING_REST } from "../limits.ts";

/**
 * Makes what `render` makes, once for all who wait for it, and rests in between for several times as long as that took: however many ask, it takes a
 * part of the processor alone. Nobody is given what was begun before they asked.
 */
export function sharedRendering<T>(render: () => Promise<T>): () => Promise<T> {
  let next: Promise<T> | undefined;
  let latest: Promise<unknown> = Promise.resolve();
  let notBefore = 0;
  const renderNext = async (before: Promise<unknown>): Promise<T> => {
    await before.catch(() => {});
    const restMs = notBefore - performance.now();
    if (restMs > 0) await delay(restMs);
    next = undefined;
    const began = performance.now();
    try {
      return await render();
    } finally {
      const ended = performance.now();
      notBefore = ended + RENDERING_REST * (ended - began);
    }
  };
  return () => {
    if (next === undefined) {
      next = renderNext(latest);
      latest = next;
    }
    return next;
  };
}
