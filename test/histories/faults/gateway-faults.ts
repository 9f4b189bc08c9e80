import { setTimeout as delay } from "node:timers/promises";
import type { FaultProxy } from "../../support/fault-proxy.ts";
import type { Gateway } from "../gateway.ts";
import type { Stage } from "../stage.ts";
import { startStorm } from "../storm.ts";

const DIRECTIONS = ["both", "toServer", "toClient"] as const;

function entrancesOf(gateways: readonly Gateway[]): FaultProxy[] {
  return gateways.flatMap(({ entrances }) => entrances);
}

async function heal(gateways: readonly Gateway[]): Promise<void> {
  await Promise.all(gateways.map((gateway) => gateway.heal()));
}

/** Resets connections between gateways and replicas repeatedly: each time a copy has to resume. */
export async function gatewayReset(stage: Stage): Promise<void> {
  const { choices } = stage;
  const victims = stage.gatewayVictims();
  for (let round = choices.whole(4, 10); round > 0; round--) {
    for (const entrance of entrancesOf(victims)) entrance.cut();
    await delay(choices.between(20, 250));
  }
  if (choices.chance(0.3)) for (const entrance of entrancesOf(victims)) entrance.reset();
  await stage.hold(choices.between(50, 500));
  await heal(victims);
  await Promise.all(victims.map((gateway) => stage.interrogateGateway(gateway)));
}

/** Drops bytes between gateways and replicas, in one direction or both. A connection that lost some is finally reset, or stays half-open. */
export async function gatewayBlackhole(stage: Stage): Promise<void> {
  const { choices } = stage;
  const victims = stage.gatewayVictims();
  const direction = choices.pick(DIRECTIONS);
  for (const entrance of entrancesOf(victims)) entrance.blackhole(direction);
  await stage.hold(choices.pick([150, 500, 1000, 2500, 3500]) * choices.between(0.8, 1.2));
  await Promise.all(victims.map((gateway) => stage.interrogateGateway(gateway)));
  await heal(victims);
  // Half-open connections are detected by a missing heartbeat, which takes long.
  if (choices.chance(0.8)) for (const entrance of entrancesOf(victims)) entrance.cut();
}

/**
 * Adds latency to every packet between gateways and replicas: changes and proofs are late, by different amounts. Often writes are
 * more frequent than the latency.
 */
export async function gatewayLatency(stage: Stage): Promise<void> {
  const { choices } = stage;
  const victims = stage.gatewayVictims();
  for (const entrance of entrancesOf(victims)) {
    entrance.latencyMs = choices.pick([20, 60, 150, 350]) * choices.between(0.8, 1.2);
  }
  const stop = choices.chance(0.5)
    ? startStorm(stage, { clients: 2, tokens: choices.whole(100, 400), through: stage.cluster.replicas })
    : undefined;
  try {
    await stage.hold(choices.between(500, 1500));
  } finally {
    await stop?.();
  }
  await heal(victims);
}

/** Holds changes, proofs or syncs and delivers them at once: a proof may be outdated on arrival. */
export async function gatewayHoldBack(stage: Stage): Promise<void> {
  const { choices } = stage;
  const victims = stage.gatewayVictims();
  for (let round = choices.whole(1, 3); round > 0; round--) {
    const direction = choices.pick(DIRECTIONS);
    for (const entrance of entrancesOf(victims)) entrance.hold(direction);
    await stage.hold(choices.pick([150, 400, 900, 1700]) * choices.between(0.8, 1.2));
    await heal(victims);
    // For a while, so that held bytes arrive in between.
    for (let times = 0; times < 3; times++) {
      await Promise.all(victims.map((gateway) => stage.interrogateGateway(gateway)));
    }
  }
}

/** Pauses gateways, usually for longer than their allowed staleness. They are asked as soon as they continue. */
export async function pauseGateway(stage: Stage): Promise<void> {
  const { choices } = stage;
  const victims = stage.gatewayVictims();
  for (let round = choices.whole(1, 3); round > 0; round--) {
    for (const gateway of victims) gateway.pause();
    const asked: Promise<void>[] = [];
    try {
      await stage.hold(choices.pick([100, 300, 700, 1500, 3500]) * choices.between(0.8, 1.2));
      asked.push(...victims.map((gateway) => stage.interrogateGateway(gateway)));
    } finally {
      for (const gateway of victims) gateway.resume();
    }
    await Promise.all(asked);
  }
}

/** Kills a gateway, which loads a new copy while all replicas write as much as they can. It is asked throughout. */
export async function bootGateway(stage: Stage): Promise<void> {
  const { choices, cluster } = stage;
  const victims = stage.gatewayVictims();
  const stop = startStorm(stage, {
    clients: 4,
    tokens: choices.whole(50, 500),
    through: cluster.replicas,
  });
  try {
    await delay(choices.between(50, 300));
    await Promise.all(
      victims.map(async (gateway) => {
        await gateway.kill();
        await gateway.launch();
        for (let round = 0; round < 5; round++) await stage.interrogateGateway(gateway);
      }),
    );
    await stage.hold(choices.between(100, 400));
  } finally {
    await stop();
  }
}

/**
 * Cuts off gateways while much is written and every replica is restarted: no replica's log has what they lack, so they need
 * a new snapshot, in addition to what they know.
 */
export async function leftBehindGateway(stage: Stage): Promise<void> {
  const { choices, cluster } = stage;
  const victims = stage.gatewayVictims();
  for (const entrance of entrancesOf(victims)) {
    entrance.refuse();
    entrance.cut();
  }
  const stop = startStorm(stage, {
    clients: 4,
    tokens: choices.whole(100, 500),
    through: cluster.replicas,
  });
  try {
    await stage.hold(choices.between(200, 600));
    await Promise.all(
      cluster.replicas.map(async (replica) => {
        await replica.kill();
        await replica.launch();
      }),
    );
  } finally {
    await stop();
  }
  await heal(victims);
  for (let round = 0; round < 3; round++) {
    await Promise.all(victims.map((gateway) => stage.interrogateGateway(gateway)));
  }
}
