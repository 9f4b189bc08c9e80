import { setTimeout as delay } from "node:timers/promises";
import { Blacklist } from "../blacklist/blacklist.ts";
import { PruneBacklog } from "../blacklist/prune-backlog.ts";
import { PruneSchedule } from "../blacklist/prune-schedule.ts";
import { Quota } from "../blacklist/quota.ts";
import { Writer } from "../blacklist/writer.ts";
import type { Config } from "../config/config.ts";
import { createIndex, type Index, type IndexDependencies } from "./token-index.ts";

/**
 * The default of QUOTA_ROWS, as a share of INDEX_MAX_ENTRIES: one authenticated caller may fill 15 million entries of 20, which take at
 * most 960 MB at 64 bytes each, and leaves a quarter to the others.
 */
const DEFAULT_QUOTA_SHARE = 0.75;

interface Dependencies extends IndexDependencies {
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

export interface StartedBlacklist {
  readonly blacklist: Blacklist;
  readonly index: Index;
  readonly backlog: PruneBacklog;
  /** Absent if there are no quotas. */
  readonly quota: Quota | undefined;
  /** Starts the background work. */
  start(): void;
  /** Stops the background work, once no new calls arrive. Waits a limited time for a write or prune in flight. */
  stop(): Promise<void>;
}

/** Creates the blacklist and its background work. */
export function createBlacklist(
  config: Config,
  { onPhaseChange, random, ...parts }: Dependencies,
): StartedBlacklist {
  const { expiryLeewayMs: leewayMs, pruneRetentionMs: retentionMs } = config;
  const common = { ...parts, leewayMs, retentionMs };
  const index = createIndex(config, { ...parts, onPhaseChange });
  const writer = new Writer({ ...common, onCommit: (result) => index.addOwnCommit(result) });
  const quota = quotaOf(config, { ...parts, index });
  const blacklist = new Blacklist({ ...common, writer, checks: index.checks, quota });
  const schedule = new PruneSchedule({ ...parts, blacklist, random });
  const backlog = new PruneBacklog(common);
  return {
    blacklist,
    index,
    backlog,
    quota,
    start() {
      index.start();
      schedule.start(config.pruneIntervalMs);
      backlog.start();
    },
    async stop() {
      // Work that takes longer is aborted by closing the store.
      const within = (work: Promise<void>) =>
        Promise.race([work, delay(config.shutdownGraceMs * FLUSH_SHARE_OF_GRACE, undefined, { ref: false })]);
      backlog.stop();
      await within(schedule.stop());
      index.stop();
      await within(writer.settled());
    },
  };
}

/** The share of the shutdown grace that the last write, or chunk of a prune, may take. */
const FLUSH_SHARE_OF_GRACE = 0.1;

function quotaOf(
  { security, expiryLeewayMs, indexMaxEntries }: Config,
  { store, clock, index: { follower } }: Pick<Dependencies, "store" | "clock"> & { readonly index: Index },
): Quota | undefined {
  const { quota, bearers, certificateRoles } = security;
  const isAuthenticated = bearers !== undefined || certificateRoles !== undefined;
  // Without authentication all callers share one name, and without an index there is no memory to protect.
  const byDefault =
    isAuthenticated && follower !== undefined ? Math.floor(indexMaxEntries * DEFAULT_QUOTA_SHARE) : 0;
  const maxRows = quota.rows ?? byDefault;
  if (maxRows === 0 && quota.rowsPerSecond === 0) return undefined;
  return new Quota({
    maxRows,
    rowsPerSecond: quota.rowsPerSecond,
    waitsForCount: quota.rows !== undefined,
    total: () => (follower?.isComplete ? follower.entries.size : undefined),
    clock,
    count: (revokedBy, limit) =>
      store.countBy({ revokedBy, limit, now: clock.now(), leewayMs: expiryLeewayMs }),
  });
}
