import { setTimeout as delay } from "node:timers/promises";

/**
 * Polls `isSo` until it returns true, for events of other processes or the network that cannot be awaited. Throws if it has not after
 * `withinMs`.
 */
export async function until(
  isSo: () => boolean | Promise<boolean>,
  { withinMs, what }: { withinMs: number; what: string },
): Promise<void> {
  const giveUpAt = performance.now() + withinMs;
  for (;;) {
    if (await isSo()) return;
    if (performance.now() >= giveUpAt) throw new Error(`not within ${withinMs} ms: ${what}`);
    await delay(10);
  }
}
