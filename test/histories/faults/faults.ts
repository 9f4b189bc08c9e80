import { killAll, killDatabase, pauseAndKillDatabase, pauseDatabase } from "./database-faults.ts";
import type { Fault } from "./fault.ts";
import {
  bootGateway,
  gatewayBlackhole,
  gatewayHoldBack,
  gatewayLatency,
  gatewayReset,
  leftBehindGateway,
  pauseGateway,
} from "./gateway-faults.ts";
import { blackhole, holdBack, latency, lostAnswers, reset } from "./network-faults.ts";
import {
  bootInWriteStorm,
  farBehind,
  killReplica,
  pauseReplica,
  stutteringReplica,
} from "./replica-faults.ts";
import { killConnection, lockTimeout, readOnly } from "./session-faults.ts";
import { extendStorm, pruneStorm } from "./storm-faults.ts";
import { forgottenCommits, undoneCommits } from "./undone-commits.ts";
import { vanishingCommits } from "./vanishing-commits.ts";
import { killWatchedReplica, pauseWatchedReplica, resumeInPruneStorm } from "./watched-replica-faults.ts";

/** Every kind of fault, by its name for `--fault`, in the order of seeds. */
export const FAULTS = {
  "kill-replica": killReplica,
  "kill-database": killDatabase,
  "pause-replica": pauseReplica,
  "pause-database": pauseDatabase,
  "pause-and-kill-database": pauseAndKillDatabase,
  "kill-all": killAll,
  "undone-commits": undoneCommits,
  "stuttering-replica": stutteringReplica,
  "boot-in-write-storm": bootInWriteStorm,
  "far-behind": farBehind,
  blackhole,
  reset,
  latency,
  "hold-back": holdBack,
  "lost-answers": lostAnswers,
  "kill-connection": killConnection,
  "lock-timeout": lockTimeout,
  "read-only": readOnly,
  "prune-storm": pruneStorm,
  "extend-storm": extendStorm,
  "gateway-reset": gatewayReset,
  "gateway-blackhole": gatewayBlackhole,
  "gateway-latency": gatewayLatency,
  "gateway-hold-back": gatewayHoldBack,
  "pause-gateway": pauseGateway,
  "boot-gateway": bootGateway,
  "left-behind-gateway": leftBehindGateway,
  "kill-watched-replica": killWatchedReplica,
  "pause-watched-replica": pauseWatchedReplica,
  "resume-in-prune-storm": resumeInPruneStorm,
  "forgotten-commits": forgottenCommits,
  "vanishing-commits": vanishingCommits,
} as const satisfies Record<string, Fault>;

export type FaultName = keyof typeof FAULTS;

export const FAULT_NAMES = Object.keys(FAULTS) as FaultName[];

export function isFaultName(name: string): name is FaultName {
  return name in FAULTS;
}
