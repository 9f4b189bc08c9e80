import { performance } from "node:perf_hooks";
import { setTimeout as delay } from "node:timers/promises";
import { RENDERING_REST } from "../limits.ts";

/**
 * Coalesces renderings: callers share the next one, and after each comes a pause of RENDERING_REST times its duration, so that rendering
 * uses a bounded share of the processor however many callers there are. A caller never gets a rendering that began before its call.
 */
export function sharedRendering<T>(render: () => Promise<T>): () => Promise<T> {
  let next: Promise<T> | undefined;
  let latest: Promise<unknown> = Promise.resolve();
  let notBefore = 0;
  const renderNext = async (before: Promise<unknown>): Promise<T> => {
    await before.catch(() => {});
    // Timers count whole milliseconds and may fire early.
    for (let restMs = notBefore - performance.now(); restMs > 0; restMs = notBefore - performance.now()) await delay(Math.ceil(restMs));
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
