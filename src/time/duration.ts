const UNITS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/**
 * Parses a duration such as `250ms`, `30s`, `5m`, `1h`, `7d` or a sequence of these (`1h30m`) to milliseconds; `0` needs no unit. Throws a
 * RangeError that states the expected form.
 */
export function parseDuration(text: string): number {
  if (text === "0") return 0;
  if (!/^(\d{1,9}(ms|[smhd]))+$/.test(text)) throw new RangeError("must be a duration such as 30s, 5m or 1h");
  let total = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+)(ms|[smhd])/g)) {
    total += Number(amount) * UNITS[unit as keyof typeof UNITS];
  }
  return total;
}
