import type { Entry, Jti, NewEntry, Outcome } from "../entry.ts";
import type { WriteResult } from "../store/store.ts";

/** The result for one token of a request. */
export interface TokenResult {
  readonly outcome: Outcome;
  readonly entry: Entry;
}

/**
 * Merges several requests so that each jti occurs once, as if they had been written one after another: the first request's reason
 * and caller, and the latest expiry of all.
 */
export function mergeWrites(requests: Iterable<readonly NewEntry[]>): NewEntry[] {
  const merged = new Map<Jti, NewEntry>();
  for (const entries of requests) {
    for (const entry of entries) {
      const earlier = merged.get(entry.jti);
      if (earlier === undefined) merged.set(entry.jti, entry);
      else if (entry.expiresAt > earlier.expiresAt) {
        merged.set(entry.jti, { ...earlier, expiresAt: entry.expiresAt });
      }
    }
  }
  return [...merged.values()];
}

/**
 * Splits the results of a merged write by request. Called for the requests in their order, it reports each jti's "created" or
 * "extended" to exactly one of them.
 */
export class SplitResults {
  readonly #stored = new Map<Jti, { readonly result: WriteResult; claimed: boolean; entry: Entry }>();

  constructor(results: readonly WriteResult[]) {
    for (const result of results) {
      this.#stored.set(result.entry.jti, { result, claimed: false, entry: result.entry });
    }
  }

  /** The results for one request, in its order. The first occurrence of a jti has its outcome; repetitions are "already-blacklisted". */
  next(entries: readonly NewEntry[]): TokenResult[] {
    const told = new Map<Jti, TokenResult>();
    for (const asked of mergeWrites([entries])) told.set(asked.jti, this.#tell(asked));
    const seen = new Set<Jti>();
    return entries.map(({ jti }) => {
      const result = told.get(jti) as TokenResult;
      if (seen.has(jti)) return { ...result, outcome: "already-blacklisted" };
      seen.add(jti);
      return result;
    });
  }

  #tell(asked: NewEntry): TokenResult {
    const stored = this.#stored.get(asked.jti);
    if (stored === undefined) throw new Error("the store returned no result for an entry");
    const outcome = this.#claim(asked, stored);
    return { outcome, entry: stored.entry };
  }

  #claim(asked: NewEntry, stored: { readonly result: WriteResult; claimed: boolean; entry: Entry }): Outcome {
    const first = !stored.claimed;
    if (stored.result.outcome === "created" && (first || asked.expiresAt > stored.entry.expiresAt)) {
      // In order of arrival: the first request creates the entry with its own expiry, and a later one extends it.
      stored.claimed = true;
      stored.entry = { ...stored.entry, expiresAt: asked.expiresAt };
      return first ? "created" : "extended";
    }
    // How far the others would have extended the entry is unknown: assume that the request with the latest expiry was first.
    if (stored.result.outcome === "extended" && first && asked.expiresAt === stored.entry.expiresAt) {
      stored.claimed = true;
      return "extended";
    }
    return "already-blacklisted";
  }
}
