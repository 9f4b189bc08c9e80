import { setTimeout as delay } from "node:timers/promises";
import type { Gateway } from "./gateway.ts";
import type { CheckCall } from "./history.ts";
import type { Recorder } from "./recorder.ts";
import type { Replica } from "./replica.ts";

const BATCH = 500;
const RECOVERY_TIMEOUT_MS = 10_000;
const CALL_TIMEOUT_MS = 2000;
const PAUSE_MS = 20;

/** Checks each of `jtis` at the replica until it responds completely. Throws if it does not in time. */
export function audit(
  recorder: Recorder,
  { replica, jtis }: { replica: Replica; jtis: readonly string[] },
): Promise<void> {
  const ask: Ask = (batch) => recorder.check(replica, batch, { timeoutMs: CALL_TIMEOUT_MS });
  return askAll(jtis, { who: `replica ${replica.index}`, ask });
}

/** The same at a gateway, once its copy has been proven. */
export async function auditGateway(
  recorder: Recorder,
  { gateway, jtis }: { gateway: Gateway; jtis: readonly string[] },
): Promise<void> {
  await gateway.ready();
  const ask: Ask = (batch) => recorder.ask(gateway, batch, { timeoutMs: CALL_TIMEOUT_MS });
  await askAll(jtis, { who: `gateway ${gateway.index}`, ask });
}

type Ask = (batch: readonly string[]) => Promise<CheckCall>;

async function askAll(jtis: readonly string[], { who, ask }: { who: string; ask: Ask }): Promise<void> {
  for (let from = 0; from < jtis.length; from += BATCH) {
    const batch = jtis.slice(from, from + BATCH);
    const giveUpAt = performance.now() + RECOVERY_TIMEOUT_MS;
    for (;;) {
      const check = await ask(batch);
      if (isFull(check)) break;
      if (performance.now() > giveUpAt) {
        const why = check.failure ?? "unknown verdicts";
        throw new Error(`${who} has not recovered after ${RECOVERY_TIMEOUT_MS} ms: ${why}`);
      }
      await delay(PAUSE_MS);
    }
  }
}

function isFull({ answer }: CheckCall): boolean {
  return answer !== undefined && !answer.verdicts.includes("unknown");
}
