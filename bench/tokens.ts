import { createHash, randomUUID } from "node:crypto";

/** Entries in the table before the measurements, all unexpired. */
export const LIVE_TOKENS = 1_000_000;

/** One in this many probed tokens is on the blacklist, because most tokens that a gateway sees are not. */
const HITS_ONE_IN = 100;

/** The lists of {@link probes} hold this many jtis together, or slightly more. */
const PROBES = 100_000;

/** The jti of an entry that exists from the beginning: a UUID in canonical text, or for every other entry 43 opaque characters. */
export function liveJti(index: number): string {
  const text = `live-${index}`;
  if (index % 2 === 1) return createHash("sha256").update(text).digest("base64url");
  const digits = createHash("md5").update(text).digest("hex");
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

/** SQL for {@link liveJti}, from a column `seq`. */
export const LIVE_JTI_SQL = `IF(seq % 2 = 1,
  REPLACE(REPLACE(TRIM(TRAILING '=' FROM TO_BASE64(UNHEX(SHA2(CONCAT('live-', seq), 256)))), '+', '-'), '/', '_'),
  INSERT(INSERT(INSERT(INSERT(MD5(CONCAT('live-', seq)), 21, 0, '-'), 17, 0, '-'), 13, 0, '-'), 9, 0, '-'))`;

/** SQL for a jti that is unique to each call, from a column `seq`. */
export function expiredJtiSql(prefix: string): string {
  return `CONCAT(MD5(CONCAT('${prefix}-', seq)), '-old')`;
}

export function freshJti(): string {
  return randomUUID();
}

/** Lists of `size` jtis to check, made in advance so that making them is not measured, and returned cyclically. */
export function probes(size: number): () => readonly string[] {
  const count = Math.max(64, Math.ceil(PROBES / size));
  let made = 0;
  const lists = Array.from({ length: count }, () =>
    Array.from({ length: size }, () => {
      made++;
      return made % HITS_ONE_IN === 0 ? liveJti((made * 7919) % LIVE_TOKENS) : randomUUID();
    }),
  );
  let next = 0;
  return () => lists[next++ % count] as string[];
}
