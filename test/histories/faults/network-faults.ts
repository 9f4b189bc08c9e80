import { setTimeout as delay } from "node:timers/promises";
import type { Replica } from "../replica.ts";
import type { Stage } from "../stage.ts";

const DIRECTIONS = ["both", "toServer", "toClient"] as const;

async function heal(victims: readonly Replica[]): Promise<void> {
  await Promise.all(victims.map(({ proxy }) => proxy.heal()));
}

/** Silently drops bytes between a replica and the database, in one direction or both. */
export async function blackhole(stage: Stage): Promise<void> {
  const { choices } = stage;
  const victims = stage.victims();
  const direction = choices.pick(DIRECTIONS);
  for (const { proxy } of victims) proxy.blackhole(direction);
  await stage.hold(choices.pick([150, 500, 1000, 1900]) * choices.between(0.8, 1.2));
  await heal(victims);
}

/** Resets connections: a few times, all of them for a while, or refuses them. */
export async function reset(stage: Stage): Promise<void> {
  const { choices } = stage;
  const victims = stage.victims();
  const way = choices.pick(["cut", "reset", "refuse"] as const);
  if (way === "cut") {
    for (let round = choices.whole(3, 8); round > 0; round--) {
      for (const { proxy } of victims) proxy.cut();
      await delay(choices.between(20, 120));
    }
  } else {
    for (const { proxy } of victims) {
      if (way === "reset") proxy.reset();
      else {
        proxy.refuse();
        proxy.cut();
      }
    }
  }
  await stage.hold(choices.between(50, 500));
  await heal(victims);
}

/** Adds latency to every packet, more in one direction than in the other. */
export async function latency(stage: Stage): Promise<void> {
  const { choices } = stage;
  const victims = stage.victims();
  for (const { proxy } of victims)
    proxy.latencyMs = choices.pick([20, 60, 150, 350]) * choices.between(0.8, 1.2);
  await stage.hold(choices.between(400, 1200));
  await heal(victims);
}

/** Holds bytes and delivers them at once: requests and responses that are outdated on arrival. */
export async function holdBack(stage: Stage): Promise<void> {
  const { choices } = stage;
  const victims = stage.victims();
  const direction = choices.pick(DIRECTIONS);
  for (const { proxy } of victims) proxy.hold(direction);
  await stage.hold(choices.pick([150, 500, 1000, 1450, 1900]) * choices.between(0.9, 1.1));
  await heal(victims);
}

/** Occasionally cuts a connection at a request or response, so that a commit may or may not have happened. */
export async function lostAnswers(stage: Stage): Promise<void> {
  const { choices } = stage;
  const victims = stage.victims();
  const probability = choices.pick([0.02, 0.05, 0.12]);
  const passes = () => !choices.chance(probability);
  const alsoQuestions = choices.chance(0.4);
  for (const { proxy } of victims) {
    proxy.onServerData = passes;
    if (alsoQuestions) proxy.onClientData = passes;
  }
  await stage.hold(choices.between(400, 900));
  await heal(victims);
}
