import { setTimeout as delay } from "node:timers/promises";
import { now } from "../driver-clock.ts";
import type { Stage } from "../stage.ts";
import { startPruning } from "./storm-faults.ts";

/**
 * Kills the replica that feeds a gateway's copy. The copy resumes at another one, which is often killed too, so that it has
 * to resume at the first, which has been restarted.
 */
export async function killWatchedReplica(stage: Stage): Promise<void> {
  const { choices, cluster } = stage;
  for (let round = choices.whole(1, 3); round > 0; round--) {
    const victim = await stage.watchedReplica();
    await victim.kill();
    await stage.hold(choices.between(100, 500));
    const [other] = choices.some(
      cluster.replicas.filter((replica) => replica !== victim),
      choices.whole(0, 1),
    );
    await Promise.all([victim.launch(), other?.kill()]);
    await Promise.all(cluster.gateways.map((gateway) => stage.interrogateGateway(gateway)));
    await other?.launch();
  }
}

/** Pauses the replica that feeds a gateway's copy, usually for less than the gateway's timeout. */
export async function pauseWatchedReplica(stage: Stage): Promise<void> {
  const { choices, cluster } = stage;
  for (let round = choices.whole(1, 3); round > 0; round--) {
    const victim = await stage.watchedReplica();
    await victim.pause();
    try {
      await stage.hold(choices.pick([100, 300, 900, 1800, 3500]) * choices.between(0.8, 1.2));
    } finally {
      await victim.resume();
    }
    await Promise.all(cluster.gateways.map((gateway) => stage.interrogateGateway(gateway)));
  }
}

/**
 * Entries expire, are pruned, and are created again, while the gateways' streams are cut and resume: a copy must not keep
 * outdated entries.
 */
export async function resumeInPruneStorm(stage: Stage): Promise<void> {
  const { choices, cluster } = stage;
  const victims = stage.gatewayVictims();
  const stop = startPruning(stage);
  try {
    const until = now() + choices.between(700, 1500);
    while (now() < until) {
      for (const { entrances } of victims) for (const entrance of entrances) entrance.cut();
      await delay(choices.between(60, 350));
    }
    await stage.hold(0);
  } finally {
    await stop();
  }
  await Promise.all(cluster.gateways.map((gateway) => stage.interrogateGateway(gateway)));
}
