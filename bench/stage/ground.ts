import { type FolderGuard, guardFolder } from "../../test/support/folder-guard.ts";

/** Where what is measured lives: a temporary folder, and a list of what is to be ended with the bench. */
export interface Ground {
  readonly guard: FolderGuard;
  /** Has it closed when the bench ends, however it ends. It may be closed before. */
  closing<T extends Closable>(started: T): T;
}

interface Closable {
  close(): Promise<void>;
}

/** Every closer goes on `closers` at once, so that whatever was started can be ended at any time. */
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
