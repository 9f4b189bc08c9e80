import type { Clock } from "../time/clock.ts";

/** While there are checks, the pause after a chunk is this multiple of the chunk's own duration. */
export const PRUNE_PAUSE_RATIO = 2;
/** A Prune call stops after this time and leaves the rest to the next call. Below the default deadline of a call. */
export const PRUNE_CALL_MS = 5000;

/**
 * Begins a Prune call, and returns the `mayContinueAfterPause` of its `PruneTask`: it pauses after a chunk if there were checks during the
 * chunk, and ends the call before its deadline. `countChecks` returns the number of checks so far.
 */
export function prunePause(clock: Clock, countChecks: () => number): () => Promise<boolean> {
  let chunkBegan = clock.monotonic();
  let countBefore = countChecks();
  const endsAt = chunkBegan + PRUNE_CALL_MS;
  return async () => {
    if (countChecks() !== countBefore) {
      const took = clock.monotonic() - chunkBegan;
      await new Promise<void>((resolve) => clock.schedule(took * PRUNE_PAUSE_RATIO, resolve));
    }
    chunkBegan = clock.monotonic();
    countBefore = countChecks();
    return chunkBegan < endsAt;
  };
}
