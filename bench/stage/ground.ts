import { type FolderGuard, guardFolder } from "../../test/support/folder-guard.ts";

/** The environment of measurements: a temporary folder, and a list of what to close with the bench. */
export interface Ground {
  readonly guard: FolderGuard;
  /** Closes `started` when the bench ends, however it ends. It may be closed earlier. */
  closing<T extends Closable>(started: T): T;
}

interface Closable {
  close(): Promise<void>;
}

/** Every closer is pushed on `closers` at once, so that everything started can be ended at any time. */
export async function openGround(closers: (() => Promise<void>)[]): Promise<Ground> {
  const guard = await guardFolder("token-blacklist-bench");
  closers.push(() => guard.remove());
  return {
    guard,
    closing(started) {
      closers.push(() => started.close());
      return started;
    },
  };
}
