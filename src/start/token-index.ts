import type { Logger } from "pino";
import { AcknowledgedCommits } from "../blacklist/acknowledged-commits.ts";
import { ChangeLog } from "../blacklist/change-log.ts";
import type { CheckService } from "../blacklist/check-service.ts";
import { CoalescedChecks } from "../blacklist/coalesced-checks.ts";
import { Follower } from "../blacklist/follower.ts";
import { IndexedChecks } from "../blacklist/indexed-checks.ts";
import type { Observer } from "../blacklist/observer.ts";
import { WatchHub } from "../blacklist/watch-hub.ts";
import type { Config } from "../config/config.ts";
import type { CommitResult, DatabaseState, Store } from "../store/store.ts";
import type { Clock } from "../time/clock.ts";
import type { ClockBounds } from "../time/clock-bounds.ts";

export interface IndexDependencies {
  readonly store: Store;
  readonly clock: Clock;
  readonly clockBounds: ClockBounds;
  readonly log: Logger;
  readonly observer: Observer;
  /** Called whenever {@link Index.isComplete} may have changed. */
  readonly onPhaseChange: () => void;
}

export interface Index {
  readonly checks: CheckService;
  /** Absent if the index is off. */
  readonly follower: Follower | undefined;
  /** Absent if the index is off. */
  readonly watchHub: WatchHub | undefined;
  /** Whether positives can be answered without the database. */
  readonly isComplete: boolean;
  /** Must be called with each commit before its success is reported; see {@link Follower.addOwnCommit}. */
  addOwnCommit(result: CommitResult): void | Promise<void>;
  /** Reads the state of the database, by the read that also brings the index up to date. */
  probe(): Promise<DatabaseState>;
  /** Starts loading the index. */
  start(): void;
  stop(): void;
}

/** Creates the part that answers checks: from memory, or, with `INDEX=off`, from the database. */
export function createIndex(config: Config, { onPhaseChange, ...parts }: IndexDependencies): Index {
  const { store } = parts;
  const acknowledged = new AcknowledgedCommits(store);
  const common = { ...parts, acknowledged, leewayMs: config.expiryLeewayMs };
  const fromDatabase = new CoalescedChecks(common);
  if (!config.index) {
    return {
      checks: fromDatabase,
      follower: undefined,
      watchHub: undefined,
      isComplete: false,
      addOwnCommit: ({ revision }) => acknowledged.add(revision),
      probe: () => fromDatabase.databaseState(),
      start() {},
      stop() {},
    };
  }
  const changeLog = new ChangeLog();
  const follower = new Follower({
    ...common,
    changeLog,
    maxEntries: config.indexMaxEntries,
    onPhase: onPhaseChange,
  });
  return {
    checks: new IndexedChecks({ ...common, follower, fallback: fromDatabase }),
    follower,
    watchHub: new WatchHub({ ...common, follower, changeLog }),
    get isComplete() {
      return follower.isComplete;
    },
    addOwnCommit: (result) => follower.addOwnCommit(result),
    probe: () => (follower.isComplete ? follower.databaseState() : fromDatabase.databaseState()),
    start: () => follower.start(),
    stop: () => follower.stop(),
  };
}
