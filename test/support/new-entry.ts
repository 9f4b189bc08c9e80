import type { EpochMs, Jti, NewEntry } from "../../src/entry.ts";

/** Creates an entry with defaults; it expires in 2031, one year after the fake clock's start. */
export function newEntry(jti: string, rest: Partial<Omit<NewEntry, "key">> = {}): NewEntry {
  return { key: jti as Jti, expiresAt: Date.UTC(2031, 0, 1) as EpochMs, reason: "", revokedBy: "", ...rest };
}

/** Creates `count` entries with distinct jtis: `a-0`, `a-1`, ... */
export function newEntries(prefix: string, count: number): NewEntry[] {
  return Array.from({ length: count }, (_, index) => newEntry(`${prefix}-${index}`));
}
