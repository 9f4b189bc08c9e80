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
 * and caller, and the latest expiry.
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

/** What a merged write did to one key. */
interface MergedResult {
  readonly result: WriteResult;
  /** Whether a request has got "created" or "extended" for the entry. */
  claimed: boolean;
  /** The entry as the last such request has left it; the stored entry until then. */
  entry: Entry;
}

/**
 * Splits the results of a merged write by request; {@link next} is called for the requests in their order. An entry that the write has
 * created is "created" for the first request, and "extended" for each later one that extends it. An entry that existed before is
 * "extended" for exactly one request.
 */
export class SplitResults {
  readonly #merged: ReadonlyMap<EntryKey, MergedResult>;

  constructor(results: readonly WriteResult[]) {
    this.#merged = new Map(
      results.map((result) => [result.entry.key, { result, claimed: false, entry: result.entry }]),
    );
  }

  /** The results for one request, in its order. The first occurrence of a key has its outcome; repetitions are "already-blacklisted". */
  next(entries: readonly NewEntry[]): TokenResult[] {
    const results = new Map<EntryKey, TokenResult>();
    for (const asked of mergeWrites([entries])) {
      const merged = this.#merged.get(asked.key);
      if (merged === undefined) throw new Error("the store returned no result for an entry");
      const outcome = claim(asked, merged);
      results.set(asked.key, { outcome, entry: merged.entry });
    }
    const seen = new Set<EntryKey>();
    return entries.map(({ key }) => {
      const result = results.get(key) as TokenResult;
      if (seen.has(key)) return { ...result, outcome: "already-blacklisted" };
      seen.add(key);
      return result;
    });
  }
}

/** The outcome of `asked`, the entry of the next request. */
function claim(asked: NewEntry, merged: MergedResult): Outcome {
  const first = !merged.claimed;
  if (merged.result.outcome === "created" && (first || extendsTimes(asked, merged.entry))) {
    // In order of arrival: the first request creates the entry with its own expiry, and a later one extends it.
    merged.claimed = true;
    merged.entry = { ...merged.entry, ...latestTimes(asked, first ? asked : merged.entry) };
    return first ? "created" : "extended";
  }
  // The earlier expiry of the entry is unknown: assume that the request with the latest one came first, and alone has extended it.
  if (merged.result.outcome === "extended" && first && reachesTimes(asked, merged.entry)) {
    merged.claimed = true;
    return "extended";
  }
  return "already-blacklisted";
}
