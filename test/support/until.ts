import { setTimeout as delay } from "node:timers/promises";

/**
 * Asks again and again until `isSo` says yes; for what another process or the network has to bring about, and nobody
 * announces. Throws when it has not after `withinMs`.
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
