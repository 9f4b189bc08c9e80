import type { History } from "./history.ts";

/** The number in a revision's text, which is opaque to clients. */
export function numberOf(revision: string): number {
  return Number(revision.slice(0, revision.indexOf("-")));
}

/**
 * Tells which revisions are ordered by their numbers. An acknowledged commit is never undone. The number of one that a crash
 * undid is assigned to another commit, so if that is possible, only acknowledged commits are ordered.
 */
export function orderedRevisions({ operations, undoings }: History): (revision: string) => boolean {
  if (undoings.length === 0) return () => true;
  const acknowledged = new Set<string>();
  for (const call of operations) {
    if (call.kind === "blacklist" && call.answer !== undefined) acknowledged.add(call.answer.revision);
  }
  return (revision) => acknowledged.has(revision);
}

/** The acknowledged revisions by number: any other revision with such a number belongs to another history. */
export function acknowledgedNumbers({ operations }: History): ReadonlyMap<number, string> {
  const known = new Map<number, string>();
  for (const call of operations) {
    if (call.kind === "blacklist" && call.answer !== undefined) {
      known.set(numberOf(call.answer.revision), call.answer.revision);
    }
  }
  return known;
}
