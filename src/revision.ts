/**
 * The position of a commit in the order of all commits: a number that increases by one, and the commit's random stamp. A database that was
 * restored, or has lost a commit, assigns the commit's number again; the stamps distinguish the two commits.
 */
export interface Revision {
  /** 0 for the empty database, then one more for every commit. */
  readonly number: number;
  /** 16 hexadecimal digits. */
  readonly stamp: string;
}

/** The text of a revision, opaque to callers. */
export function formatRevision({ number, stamp }: Revision): string {
  return `${number}-${stamp}`;
}

/** Parses the text of {@link formatRevision}; undefined if `text` has another form. */
export function parseRevision(text: string): Revision | undefined {
  const match = /^(0|[1-9]\d{0,15})-([0-9a-f]{16})$/.exec(text);
  if (match === null) return undefined;
  const number = Number(match[1]);
  return Number.isSafeInteger(number) ? { number, stamp: match[2] as string } : undefined;
}

/** Whether both are the same commit. */
export function isSameRevision(a: Revision, b: Revision): boolean {
  return a.number === b.number && a.stamp === b.stamp;
}
