import type { Stage } from "../stage.ts";
import { startStorm } from "../storm.ts";

/**
 * Kills the database in the middle of many small commits. Some replicas reconnect later than the others, which write
 * meanwhile: a number that the crash undid may be in use again by then.
 */
export async function killDatabase(stage: Stage): Promise<void> {
  const { choices, cluster } = stage;
  const stop = startStorm(stage, { clients: 12, tokens: choices.whole(1, 5), through: cluster.replicas });
  try {
    await stage.hold(choices.between(20, 120));
    await stage.killDatabase();
    const late = choices.some(cluster.replicas, choices.whole(0, 2));
    for (const { proxy } of late) proxy.refuse();
    await cluster.server.restart();
    await stage.hold(choices.between(50, 800));
    await Promise.all(late.map(({ proxy }) => proxy.heal()));
  } finally {
    await stop();
  }
}

/** Pauses the database: connections stay open without responses. */
export async function pauseDatabase(stage: Stage): Promise<void> {
  const { choices, cluster } = stage;
  cluster.server.pause();
  try {
    await stage.hold(choices.pick([100, 300, 700, 1200, 2000]) * choices.between(0.8, 1.2));
  } finally {
    cluster.server.resume();
  }
}

/** Pauses the database, then kills it. */
export async function pauseAndKillDatabase(stage: Stage): Promise<void> {
  const { choices, cluster } = stage;
  cluster.server.pause();
  await stage.hold(choices.between(50, 700));
  await stage.killDatabase();
  await cluster.server.restart();
}

/** Kills the database and some replicas at once. */
export async function killAll(stage: Stage): Promise<void> {
  const { choices, cluster } = stage;
  const victims = stage.victims();
  await Promise.all([stage.killDatabase(), ...victims.map((replica) => replica.kill())]);
  await stage.hold(choices.between(0, 300));
  // The first one to return must cope without the other.
  await Promise.all([cluster.server.restart(), ...victims.map((replica) => replica.launch())]);
  await Promise.all(victims.map((replica) => stage.interrogate(replica)));
}
