import { setImmediate as turn } from "node:timers/promises";
import type { Revision } from "../revision.ts";
import type { Changes, Tail, TailEntry, TailPosition } from "../store/store.ts";

/** Before every jti. */
const START = new Uint8Array();

/** After every commit. */
const END: TailPosition = { revision: Number.MAX_SAFE_INTEGER, jti: START };

/** Where the following begins: everything up to `seen` has been handed over. */
export interface Loaded {
  readonly seen: Revision;
  readonly position: TailPosition;
}

/**
 * Hands over every entry of the table in pages, and says from where to follow: the revision that was current before the first
 * page, since whatever changed later will be among the changes since. `onStanding` hears first how the database stands, `onPage`
 * may throw to end it. The event loop gets a turn after every page.
 */
export async function loadAll(
  tail: Tail,
  { onStanding, onPage }: { onStanding(changes: Changes): void; onPage(entries: readonly TailEntry[]): void },
): Promise<Loaded> {
  const start = await tail.changes(END, undefined);
  onStanding(start);
  let page = await tail.scan(START);
  for (;;) {
    const last = page.entries.at(-1);
    if (!page.hasMore || last === undefined) break;
    // The database reads the next page while this one is taken over.
    const next = tail.scan(last.jti);
    next.catch(() => {});
    onPage(page.entries);
    await turn();
    page = await next;
  }
  onPage(page.entries);
  return { seen: start.revision, position: start.next };
}
