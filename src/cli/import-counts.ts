/** How the lines of an import were dealt with. */
export interface ImportCounts {
  readonly lines: number;
  readonly created: number;
  readonly already_blacklisted: number;
  readonly extended: number;
  /** Expired according to the service, leeway included. */
  readonly expired: number;
  /** Invalid lines, and tokens that the service rejected. */
  readonly refused: number;
}

export const NO_COUNTS: ImportCounts = {
  lines: 0,
  created: 0,
  already_blacklisted: 0,
  extended: 0,
  expired: 0,
  refused: 0,
};

export function sumOf(counts: ImportCounts, more: Partial<ImportCounts>): ImportCounts {
  const names = Object.keys(NO_COUNTS) as (keyof ImportCounts)[];
  return Object.fromEntries(
    names.map((name) => [name, counts[name] + (more[name] ?? 0)]),
  ) as unknown as ImportCounts;
}

/** How many tokens are in the blacklist now. */
export function storedOf({ created, already_blacklisted, extended }: ImportCounts): number {
  return created + already_blacklisted + extended;
}
