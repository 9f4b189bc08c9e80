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
  /** By which it has grown beyond one that asks the service, once all garbage was collected, and at the worst moment. */
  readonly bytes: number;
  readonly worstBytes: number;
}

/** Asked before there is a copy: with fewer, V8's young generation has not been through all the memory that any traffic takes. */
const CHECKS = 3000;

async function copy(): Promise<Copied> {
  const { port } = given<CopyInput>();
  // What every client needs, a copy or not: connections, and compiled code.
  const asking = await connected(port, "remote");
  for (let count = 0; count < CHECKS; count++) await asking.isBlacklisted(freshJti());
  asking.close();
  await collectGarbage();
  const before = process.memoryUsage.rss();
  const began = performance.now();
  const client = await connected(port, "replica");
  const seen = [liveJti(0), freshJti()].map((jti) => client.peek(jti, { maxStalenessMs: 1000 }));
  const readyMs = performance.now() - began;
  if (seen[0] !== true || seen[1] !== false) throw new Error(`the copy says ${seen}`);
  const worstBytes = process.resourceUsage().maxRSS * 1024 - before;
  await collectGarbage();
  return { readyMs, bytes: process.memoryUsage.rss() - before, worstBytes };
}

offer(async () => {}, { copy });
