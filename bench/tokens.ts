import { createHash, randomUUID } from "node:crypto";

/** Entries in the table before anything is measured, all unexpired. */
export const LIVE_TOKENS = 100_000;

/** One in so many tokens asked about is on the blacklist: most of what a gateway sees is not. */
const HITS_ONE_IN = 100;

export function liveJti(index: number): string {
  return `${createHash("md5").update(`live-${index}`).digest("hex")}-jti`;
}

/** SQL for a jti of the same shape that no other call makes, from a column `seq`. */
export function expiredJtiSql(prefix: string): string {
  return `CONCAT(MD5(CONCAT('${prefix}-', seq)), '-old')`;
}

export function freshJti(): string {
  return randomUUID();
}

/** Lists of `size` jtis to ask about, made beforehand so that making them is not measured; handed out in a circle. */
export function probes(size: number): () => readonly string[] {
  const count = Math.max(64, Math.ceil(20_000 / size));
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
