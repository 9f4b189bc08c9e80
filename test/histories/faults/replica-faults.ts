import { setTimeout as delay } from "node:timers/promises";
import type { Stage } from "../stage.ts";
import { startStorm } from "../storm.ts";

/** Kills one or more replicas, and restarts them after a while. */
export async function killReplica(stage: Stage): Promise<void> {
  const victims = stage.victims();
  await Promise.all(victims.map((replica) => replica.kill()));
  await stage.hold(stage.choices.between(100, 600));
  await Promise.all(
    victims.map(async (replica) => {
      await replica.launch();
      await stage.interrogate(replica);
    }),
  );
}

/** Pauses a replica, which believes that no time has passed. The longest pause exceeds all of its timeouts. */
export async function pauseReplica(stage: Stage): Promise<void> {
  const { choices } = stage;
  const victims = stage.victims();
  await Promise.all(victims.map((replica) => replica.pause()));
  try {
    await stage.hold(choices.pick([100, 300, 700, 1200, 2000]) * choices.between(0.8, 1.2));
  } finally {
    await Promise.all(victims.map((replica) => replica.resume()));
  }
  await Promise.all(victims.map((replica) => stage.interrogate(replica)));
}

/** Many short pauses, between any two steps of a replica. */
export async function stutteringReplica(stage: Stage): Promise<void> {
  const { choices } = stage;
  const victims = stage.victims();
  for (let round = choices.whole(4, 10); round > 0; round--) {
    await Promise.all(victims.map((replica) => replica.pause()));
    await delay(choices.between(20, 180));
    await Promise.all(victims.map((replica) => replica.resume()));
    await delay(choices.between(5, 60));
  }
  await stage.hold(0);
}

/** Kills and restarts a replica while the others write as much as they can. It is checked as soon as it listens. */
export async function bootInWriteStorm(stage: Stage): Promise<void> {
  const { choices, cluster } = stage;
  const [victim, ...others] = choices.some(cluster.replicas, cluster.replicas.length);
  if (victim === undefined) return;
  const stop = startStorm(stage, { clients: 4, tokens: choices.whole(50, 500), through: others });
  try {
    await victim.kill();
    await delay(choices.between(50, 300));
    await victim.launch();
    for (let round = 0; round < 4; round++) await stage.interrogate(victim);
    await stage.hold(choices.between(100, 400));
  } finally {
    await stop();
  }
}

/** Cuts off a replica while the others write more than it can read at once, so that it has to catch up. */
export async function farBehind(stage: Stage): Promise<void> {
  const { choices, cluster } = stage;
  const [victim, ...others] = choices.some(cluster.replicas, cluster.replicas.length);
  if (victim === undefined) return;
  if (choices.chance(0.5)) victim.proxy.hold();
  else await victim.pause();
  try {
    const stop = startStorm(stage, { clients: 4, tokens: choices.whole(300, 1000), through: others });
    await stage.hold(choices.between(400, 1000));
    await stop();
  } finally {
    await victim.proxy.heal();
    await victim.resume();
  }
  for (let round = 0; round < 3; round++) await stage.interrogate(victim);
}
