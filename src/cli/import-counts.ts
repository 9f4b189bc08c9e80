/** What became of the lines of an import. */
export interface ImportCounts {
  readonly lines: number;
  readonly created: number;
  readonly already_blacklisted: number;
  readonly extended: number;
  /** The service says that they have expired, leeway included. */
  readonly expired: number;
  /** Wrong lines, and tokens that the service refused. */
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

/** Those that stand in the blacklist now. */
export function storedOf({ created, already_blacklisted, extended }: ImportCounts): number {
  return created + already_blacklisted + extended;
}
