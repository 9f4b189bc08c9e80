import { setImmediate as turn } from "node:timers/promises";
import type { BlacklistClient } from "../../src/client/connect.ts";
import { freshJti } from "../tokens.ts";
import { connected } from "./connected.ts";
import { given, offer } from "./offer.ts";

// One process that revokes tokens at replica A, and holds two gateways' copies, one fed by A and one by B, so that all times are
// from one clock.

export interface PushesInput {
  readonly ports: { readonly a: number; readonly b: number };
}

/** Milliseconds from each revocation's acknowledgement until the copy contained it. */
export interface Pushes {
  readonly fromA: readonly number[];
  readonly fromB: readonly number[];
}

/** Concurrent gateways. */
const CALLERS = 8;
const DAY_MS = 86_400_000;
/** Anything later counts as lost. */
const GIVE_UP_MS = 5000;

let revoker: BlacklistClient;
let atA: BlacklistClient;
let atB: BlacklistClient;

async function start(): Promise<void> {
  const { ports } = given<PushesInput>();
  [revoker, atA, atB] = await Promise.all([
    connected(ports.a, "remote"),
    connected(ports.a, "local"),
    connected(ports.b, "local"),
  ]);
}

async function revoke(): Promise<string> {
  const jti = freshJti();
  await revoker.blacklist([{ jti, expiresAt: Date.now() + DAY_MS, reason: "logout" }]);
  return jti;
}

/** Checks both copies in every turn of the event loop. */
async function push({ times }: { times: number }): Promise<Pushes> {
  const fromA: number[] = [];
  const fromB: number[] = [];
  for (let time = 0; time < times; time++) {
    const jti = await revoke();
    const acknowledged = performance.now();
    await Promise.all(
      [untilSeen(atA, jti), untilSeen(atB, jti)].map(async (seen, index) => {
        await seen;
        (index === 0 ? fromA : fromB).push(performance.now() - acknowledged);
      }),
    );
  }
  return { fromA, fromB };
}

async function untilSeen(client: BlacklistClient, jti: string): Promise<void> {
  const giveUpAt = performance.now() + GIVE_UP_MS;
  while (client.peek(jti, { maxStalenessMs: GIVE_UP_MS }) !== true) {
    if (performance.now() > giveUpAt) throw new Error("a revocation has not arrived");
    await turn();
  }
}

/** How many of this many fully fresh answers, half of them from each copy, missed what had just been acknowledged. */
async function stale({ times }: { times: number }): Promise<number> {
  let left = times;
  let wrong = 0;
  async function caller(): Promise<void> {
    while (left > 0) {
      left -= 2;
      const jti = await revoke();
      const answers = await Promise.all([atA.isBlacklisted(jti), atB.isBlacklisted(jti)]);
      wrong += answers.filter((isBlacklisted) => !isBlacklisted).length;
    }
  }
  await Promise.all(Array.from({ length: CALLERS }, caller));
  return wrong;
}

offer(start, { push, stale });
