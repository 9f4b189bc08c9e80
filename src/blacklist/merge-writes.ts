import type { Entry, EntryKey, NewEntry, Outcome } from "../entry.ts";
import type { WriteResult } from "../store/store.ts";
import { extendsTimes, latestTimes, reachesTimes } from "../token-identity.ts";

/** The result for one token of a request. */
export interface TokenResult {
  readonly outcome: Outcome;
  readonly entry: Entry;
}

/**
 * Merges several requests so that each key occurs once, as if they had been written one after another: the first request's reason
 * and caller, and the latest of all times.
 */
export function mergeWrites(requests: Iterable<readonly NewEntry[]>): NewEntry[] {
  const merged = new Map<EntryKey, NewEntry>();
  for (const entries of requests) {
    for (const entry of entries) {
      const earlier = merged.get(entry.key);
      if (earlier === undefined) merged.set(entry.key, entry);
      else if (extendsTimes(entry, earlier)) {
        merged.set(entry.key, { ...earlier, ...latestTimes(entry, earlier) });
      }
    }
  }
  return [...merged.values()];
}

/**
 * Splits the results of a merged write by request. Called for the requests in their order, it reports each key's "created" or
 * "extended" to exactly one of them.
 */
export class SplitResults {
  readonly #stored = new Map<EntryKey, { readonly result: WriteResult; claimed: boolean; entry: Entry }>();

  constructor(results: readonly WriteResult[]) {
    for (const result of results) {
      this.#stored.set(result.entry.key, { result, claimed: false, entry: result.entry });
    }
  }

  /** The results for one request, in its order. The first occurrence of a key has its outcome; repetitions are "already-blacklisted". */
  next(entries: readonly NewEntry[]): TokenResult[] {
    const told = new Map<EntryKey, TokenResult>();
    for (const asked of mergeWrites([entries])) told.set(asked.key, this.#tell(asked));
    const seen = new Set<EntryKey>();
    return entries.map(({ key }) => {
      const result = told.get(key) as TokenResult;
      if (seen.has(key)) return { ...result, outcome: "already-blacklisted" };
      seen.add(key);
      return result;
    });
  }

  #tell(asked: NewEntry): TokenResult {
    const stored = this.#stored.get(asked.key);
    if (stored === undefined) throw new Error("the store returned no result for an entry");
    const outcome = this.#claim(asked, stored);
    return { outcome, entry: stored.entry };
  }

  #claim(asked: NewEntry, stored: { readonly result: WriteResult; claimed: boolean; entry: Entry }): Outcome {
    const first = !stored.claimed;
    if (stored.result.outcome === "created" && (first || extendsTimes(asked, stored.entry))) {
      // In order of arrival: the first request creates the entry with its own expiry, and a later one extends it.
      stored.claimed = true;
      stored.entry = { ...stored.entry, ...latestTimes(asked, first ? asked : stored.entry) };
      return first ? "created" : "extended";
    }
    // How far the others would have extended the entry is unknown: assume that the request with the latest time was first.
    if (stored.result.outcome === "extended" && first && reachesTimes(asked, stored.entry)) {
      stored.claimed = true;
      return "extended";
    }
    return "already-blacklisted";
  }
}
