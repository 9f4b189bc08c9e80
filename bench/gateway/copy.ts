import { collectGarbage } from "../index/child.ts";
import { freshJti, liveJti } from "../tokens.ts";
import { connected } from "./connected.ts";
import { given, offer } from "./offer.ts";

// Measures what a local copy of the blacklist costs a gateway.

export interface CopyInput {
  readonly port: number;
}

export interface Copied {
  /** From `connect()` until the copy answers. */
  readonly readyMs: number;
  /** Memory beyond that of a client in remote mode, after all garbage was collected, and at the peak. */
  readonly bytes: number;
  readonly worstBytes: number;
}

/** Sent before there is a copy: with fewer, V8's young generation has not used all the memory that any traffic takes. */
const CHECKS = 3000;

async function copy(): Promise<Copied> {
  const { port } = given<CopyInput>();
  // The memory that every client needs, with or without a copy: connections, and compiled code.
  const asking = await connected(port, "remote");
  for (let count = 0; count < CHECKS; count++) await asking.isBlacklisted(freshJti());
  asking.close();
  await collectGarbage();
  const before = process.memoryUsage.rss();
  const began = performance.now();
  const client = await connected(port, "local");
  const seen = [liveJti(0), freshJti()].map((jti) => client.peek(jti, { maxStalenessMs: 1000 }));
  const readyMs = performance.now() - began;
  if (seen[0] !== true || seen[1] !== false) throw new Error(`the copy says ${seen}`);
  const worstBytes = process.resourceUsage().maxRSS * 1024 - before;
  await collectGarbage();
  return { readyMs, bytes: process.memoryUsage.rss() - before, worstBytes };
}

offer(async () => {}, { copy });
