import { setTimeout as delay } from "node:timers/promises";
import type { Choices } from "../choices.ts";
import { now } from "../driver-clock.ts";
import type { Instant } from "../history.ts";
import { longLife } from "../lifetimes.ts";
import type { Replica } from "../replica.ts";
import type { Stage } from "../stage.ts";
import { startStorm } from "../storm.ts";

const TIMEOUT_MS = 2000;

/** Several clients prune continually, while others blacklist the same jtis again at the time of their expiry. */
export async function pruneStorm(stage: Stage): Promise<void> {
  const stop = startPruning(stage);
  await stage.hold(stage.choices.between(500, 1000));
  await stop();
}

/** Runs until the returned function is called, which resolves when every call has ended. */
export function startPruning(stage: Stage): () => Promise<void> {
  const { choices, cluster, keyring } = stage;
  let over = false;

  async function pruner(choices: Choices): Promise<void> {
    while (!over) {
      const order = { maxCount: choices.whole(1, 300), dryRun: choices.chance(0.1) };
      // The checks will show its effect.
      await choices
        .pick(cluster.replicas)
        .client.prune(order, { timeoutMs: TIMEOUT_MS })
        .catch(() => {});
    }
  }

  async function renewer(number: number): Promise<void> {
    for (let round = 0; !over; round++) {
      const jtis = [0, 1, 2, 3].map((index) => `${keyring.key(round)}/renewed ${number}/${index}`);
      await renew(stage, jtis, choices.for(`renew ${number} ${round}`));
    }
  }

  const stop = startStorm(stage, {
    clients: 2,
    tokens: 40,
    through: cluster.replicas,
    validUntil: () => Math.ceil(now() + choices.between(30, 300)),
  });
  const clients = [
    ...[0, 1, 2, 3].map((number) => pruner(choices.for(`pruner ${number}`))),
    ...[0, 1, 2, 3, 4, 5].map(renewer),
  ];
  return async () => {
    over = true;
    await Promise.all([stop(), ...clients]);
  };
}

/** Entries that expire, and are created again, extended or pruned at the same time by several clients. */
async function renew(stage: Stage, jtis: readonly string[], choices: Choices): Promise<void> {
  const { recorder, cluster } = stage;
  const write = (replica: Replica, validUntil: Instant) =>
    recorder.blacklist(
      replica,
      jtis.map((jti) => ({ jti, validUntil })),
      { timeoutMs: TIMEOUT_MS },
    );
  const runsOut = Math.ceil(now() + choices.between(40, 120));
  await write(choices.pick(cluster.replicas), runsOut);
  await delay(Math.max(0, runsOut - now() + choices.between(-10, 15)));
  await Promise.all(
    choices.some(cluster.replicas, 2).map(async (replica) => {
      await write(replica, longLife(choices));
      await recorder.check(choices.pick(cluster.replicas), jtis, { timeoutMs: TIMEOUT_MS });
      await recorder.ask(choices.pick(cluster.gateways), jtis, { timeoutMs: TIMEOUT_MS });
    }),
  );
  // A check a moment later must find it there.
  await write(choices.pick(cluster.replicas), longLife(choices));
  stage.fillers.push(...jtis);
}

/** Extends many entries repeatedly, each time together with a new one that must be visible at once. */
export async function extendStorm(stage: Stage): Promise<void> {
  const { choices, cluster, recorder } = stage;
  const many = Array.from(
    { length: choices.whole(50, 400) },
    (_, index) => `${stage.keyring.key(index)}/extended`,
  );
  stage.fillers.push(...many);
  let over = false;

  async function extender(number: number, choices: Choices): Promise<void> {
    for (let round = 0; !over; round++) {
      const fresh = `${stage.keyring.key(round)}/beside ${number}`;
      const validUntil = longLife(choices) + round * 1000;
      const tokens = [...choices.some(many, 200), fresh].map((jti) => ({ jti, validUntil }));
      const { answer } = await recorder.blacklist(choices.pick(cluster.replicas), tokens, {
        timeoutMs: TIMEOUT_MS,
      });
      stage.fillers.push(fresh);
      if (answer === undefined) continue;
      await Promise.all(
        cluster.replicas.map((replica) =>
          recorder.check(replica, [fresh, choices.pick(many)], { timeoutMs: TIMEOUT_MS }),
        ),
      );
    }
  }

  const extenders = [0, 1, 2, 3].map((number) => extender(number, choices.for(`extender ${number}`)));
  await stage.hold(choices.between(300, 800));
  over = true;
  await Promise.all(extenders);
}
