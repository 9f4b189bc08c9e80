import type { Entry, Jti, NewEntry, Outcome } from "../entry.ts";
import type { WriteResult } from "../store/store.ts";

/** One token's fate. */
export interface Result {
  readonly outcome: Outcome;
  readonly entry: Entry;
}

/**
 * All that several requests ask for, each jti once: as if they had come one after the other, the first one's reason and
 * caller, and the latest expiry of all.
 */
export function merge(requests: Iterable<readonly NewEntry[]>): NewEntry[] {
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
 * What each request is told once the merged entries are written. Calling it for the requests in their order gives each jti's
 * "created" or "extended" to exactly one of them.
 */
export class Unfold {
  readonly #stored = new Map<Jti, { readonly result: WriteResult; claimed: boolean; entry: Entry }>();

  constructor(results: readonly WriteResult[]) {
    for (const result of results) {
      this.#stored.set(result.entry.jti, { result, claimed: false, entry: result.entry });
    }
  }

  /** Results for one request, in its order. A jti's first occurrence carries the outcome, the others are repeats of it. */
  next(entries: readonly NewEntry[]): Result[] {
    const told = new Map<Jti, Result>();
    for (const asked of merge([entries])) told.set(asked.jti, this.#tell(asked));
    const seen = new Set<Jti>();
    return entries.map(({ jti }) => {
      const result = told.get(jti) as Result;
      if (seen.has(jti)) return { ...result, outcome: "already-blacklisted" };
      seen.add(jti);
      return result;
    });
  }

  #tell(asked: NewEntry): Result {
    const stored = this.#stored.get(asked.jti);
    if (stored === undefined) throw new Error("the store returned no result for an entry");
    const outcome = this.#claim(asked, stored);
    return { outcome, entry: stored.entry };
  }

  #claim(asked: NewEntry, stored: { readonly result: WriteResult; claimed: boolean; entry: Entry }): Outcome {
    const first = !stored.claimed;
    if (stored.result.outcome === "created" && (first || asked.expiresAt > stored.entry.expiresAt)) {
      // In order of arrival: the first creates with its own expiry, a later one extends that.
      stored.claimed = true;
      stored.entry = { ...stored.entry, expiresAt: asked.expiresAt };
      return first ? "created" : "extended";
    }
    // How far the others would have extended it is unknown: as if the one with the latest expiry had come first.
    if (stored.result.outcome === "extended" && first && asked.expiresAt === stored.entry.expiresAt) {
      stored.claimed = true;
      return "extended";
    }
    return "already-blacklisted";
  }
}
