import { setTimeout as delay } from "node:timers/promises";
import { now } from "../driver-clock.ts";
import type { Stage } from "../stage.ts";
import { startPruning } from "./storm-faults.ts";

/**
 * kill -9 of the replica that a gateway's copy hangs on. The copy goes on at another one; often that is killed too, so that it has
 * to go on at the first, which has been restarted.
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

/** SIGSTOP and SIGCONT of the replica that a gateway's copy hangs on, mostly too short for the gateway to let go of it. */
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
 * Entries run out, are pruned, and are blacklisted again, while the gateways' streams are cut and go on: what a copy knew has to
 * give way to what is true by then.
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
