import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "pino";
import { AcknowledgedCommits } from "../blacklist/acknowledged-commits.ts";
import { Blacklist } from "../blacklist/blacklist.ts";
import { ChangeLog } from "../blacklist/change-log.ts";
import { CoalescedChecks } from "../blacklist/coalesced-checks.ts";
import { Follower } from "../blacklist/follower.ts";
import { IndexedChecks } from "../blacklist/indexed-checks.ts";
import type { Observer } from "../blacklist/observer.ts";
import { PruneBacklog } from "../blacklist/prune-backlog.ts";
import { PruneSchedule } from "../blacklist/prune-schedule.ts";
import { Quota } from "../blacklist/quota.ts";
import { WatchHub } from "../blacklist/watch-hub.ts";
import { Writer } from "../blacklist/writer.ts";
import type { Config } from "../config/config.ts";
import type { DatabaseState, Store } from "../store/store.ts";
import type { Clock } from "../time/clock.ts";
import type { ClockBounds } from "../time/clock-bounds.ts";

/**
 * The default of QUOTA_ROWS, as a share of INDEX_MAX_ENTRIES: of 20 million entries one authenticated caller may have 15 million, which
 * take at most 960 MB at 64 bytes each.
 */
const DEFAULT_QUOTA_SHARE = 0.75;

interface Dependencies {
  readonly store: Store;
  readonly clock: Clock;
  readonly clockBounds: ClockBounds;
  readonly log: Logger;
  readonly observer: Observer;
  /** Called whenever the follower's phase has changed. */
  readonly onPhase: () => void;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

interface StartedBlacklist {
  readonly blacklist: Blacklist;
  /** Keeps the index; absent, as is `watchHub`, with `INDEX=off`. */
  readonly follower: Follower | undefined;
  readonly watchHub: WatchHub | undefined;
  readonly backlog: PruneBacklog;
  /** Absent if there are no quotas. */
  readonly quota: Quota | undefined;
  /** Reads the state of the database, if possible by a read that also brings the index up to date. */
  probe(): Promise<DatabaseState>;
  start(): void;
  /** Stops the background work, once no new calls arrive. Waits a limited time for a write or prune in flight. */
  stop(): Promise<void>;
}

/** Creates the blacklist and its background work. */
export function createBlacklist(
  config: Config,
  { onPhase, random, ...parts }: Dependencies,
): StartedBlacklist {
  const { expiryLeewayMs: leewayMs, pruneRetentionMs: retentionMs, indexMaxEntries: maxEntries } = config;
  const acknowledged = new AcknowledgedCommits(parts.store);
  const common = { ...parts, acknowledged, leewayMs, retentionMs };
  const fromDatabase = new CoalescedChecks(common);
  const changeLog = new ChangeLog();
  const follower = config.index ? new Follower({ ...common, changeLog, maxEntries, onPhase }) : undefined;
  const checks =
    follower === undefined
      ? fromDatabase
      : new IndexedChecks({ ...common, follower, fallback: fromDatabase });
  const writer = new Writer({
    ...common,
    onCommit: (result) =>
      follower === undefined ? acknowledged.add(result.revision) : follower.addOwnCommit(result),
  });
  const quota = quotaOf(config, { ...parts, follower });
  const blacklist = new Blacklist({ ...common, writer, checks, quota });
  const schedule = new PruneSchedule({ ...parts, blacklist, random });
  const backlog = new PruneBacklog(common);
  return {
    blacklist,
    follower,
    watchHub: follower && new WatchHub({ ...common, follower, changeLog }),
    backlog,
    quota,
    probe: () => (follower?.isComplete ? follower.databaseState() : fromDatabase.databaseState()),
    start() {
      follower?.start();
      schedule.start(config.pruneIntervalMs);
      backlog.start();
    },
    async stop() {
      // Closing the store aborts work that takes longer.
      const within = (work: Promise<void>) =>
        Promise.race([work, delay(config.shutdownGraceMs * FLUSH_SHARE_OF_GRACE, undefined, { ref: false })]);
      backlog.stop();
      await within(schedule.stop());
      follower?.stop();
      await within(writer.settled());
    },
  };
}

/** The share of the shutdown grace that the last write, or chunk of a prune, may take. */
const FLUSH_SHARE_OF_GRACE = 0.1;

function quotaOf(
  { security, expiryLeewayMs, indexMaxEntries }: Config,
  { store, clock, follower }: Pick<Dependencies, "store" | "clock"> & { follower: Follower | undefined },
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
    totalEntries: () => (follower?.isComplete ? follower.entries.size : undefined),
    clock,
    countEntries: (revokedBy, limit) =>
      store.countBy({ revokedBy, limit, now: clock.now(), leewayMs: expiryLeewayMs }),
  });
}
