import { collectGarbage } from "../index/child.ts";
import { freshJti, liveJti } from "../tokens.ts";
import { connected } from "./connected.ts";
import { given, offer } from "./offer.ts";

// A gateway that takes its copy of the blacklist, and what that costs it.

export interface CopyInput {
  readonly port: number;
}

export interface Copied {
  /** From `connect()` until the copy answers. */
  readonly readyMs: number;
  /** By which the process has grown once all garbage was collected, and at the worst moment. */
  readonly bytes: number;
  readonly worstBytes: number;
}

async function copy(): Promise<Copied> {
  await collectGarbage();
  const before = process.memoryUsage.rss();
  const began = performance.now();
  const client = await connected(given<CopyInput>().port, "replica");
  const seen = [liveJti(0), freshJti()].map((jti) => client.peek(jti, { maxStalenessMs: 1000 }));
  const readyMs = performance.now() - began;
  if (seen[0] !== true || seen[1] !== false) throw new Error(`the copy says ${seen}`);
  const worstBytes = process.resourceUsage().maxRSS * 1024 - before;
  await collectGarbage();
  return { readyMs, bytes: process.memoryUsage.rss() - before, worstBytes };
}

offer(async () => {}, { copy });
