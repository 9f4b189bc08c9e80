import { setImmediate as nextTurn } from "node:timers/promises";
import { BEFORE_ALL_KEYS, type Tail, type TailEntry } from "../store/store.ts";

/**
 * Reads every entry of the table in pages. Entries that are written meanwhile may be missing: they are among the changes since a
 * revision that was read before the first page. `onPage` may throw to stop. The event loop gets a turn after every page.
 */
export async function loadAll(tail: Tail, onPage: (entries: readonly TailEntry[]) => void): Promise<void> {
  let page = await tail.scan(BEFORE_ALL_KEYS);
  for (;;) {
    const last = page.entries.at(-1);
    if (!page.hasMore || last === undefined) break;
    // The database reads the next page while this one is processed.
    const next = tail.scan(last.key);
    next.catch(() => {});
    onPage(page.entries);
    await nextTurn();
    page = await next;
  }
  onPage(page.entries);
}
