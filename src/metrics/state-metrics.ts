import type { Registry } from "prom-client";
import type { Phase } from "../blacklist/follower.ts";
import { CLOSE_REASONS, type Connections } from "../connections/connections.ts";
import type { DroppedLines } from "../logging/log-output.ts";
import type { Serving } from "../serving.ts";
import type { PoolUse } from "../store/store.ts";
import type { Validity } from "../tls/certificates.ts";
import { counters, gauge, gauges } from "./lazy-metrics.ts";

/** The parts whose state is read at each scrape. */
export interface State {
  serving(): Serving;
  readonly store: { readonly poolUse: PoolUse };
  readonly clocks: { readonly skewMs: number };
  readonly backlog: { readonly oldestMs: number | undefined };
  readonly keys: { readonly unreadable: number };
  readonly certificates: { readonly validities: readonly (readonly [string, Validity])[] };
  /** For each kind of reloaded files, whether the latest version was rejected. */
  readonly files: { readonly rejected: Readonly<Record<string, boolean>> };
  readonly output: { readonly dropped: DroppedLines };
  readonly connections: Readonly<Record<"grpc" | "authz" | "admin", Connections>>;
  readonly health: { watches(): number };
  /** Absent if there are no quotas. */
  readonly quota: { readonly used: QuotaUse } | undefined;
  /** Absent if the index is off. */
  readonly index: IndexState | undefined;
  /** Absent if the index is off. */
  readonly feed: FeedState | undefined;
}

interface QuotaUse {
  readonly rows: number | undefined;
  readonly rowsPerSecond: number | undefined;
}

interface IndexState {
  readonly phase: Phase;
  readonly size: number;
  countLive(): number;
  readonly staleness: number;
  readonly lag: number;
}

interface FeedState {
  readonly size: number;
  readonly lag: number;
  readonly snapshots: { readonly underWay: number; readonly waiting: number };
}

const PHASES: readonly Phase[] = ["loading", "following", "rebuilding", "overflowed"];

const VALIDITY = [
  ["not_before", "notBefore", "From when on a certificate in use is valid; absent where none is."],
  [
    "not_after",
    "notAfter",
    "When a certificate in use expires, or one of its chain, or the last of the authorities in a file.",
  ],
] as const;

/** Registers gauges and counters of the service's current state. */
export function registerState(registers: Registry[], { index, feed, ...state }: State): void {
  gauge(registers, {
    name: "tokenblacklist_serving",
    help: "1 while the database can be reached and takes writes, else 0.",
    value: () => Number(state.serving() === "everything"),
  });
  gauge(registers, {
    name: "tokenblacklist_serving_positives",
    help: "1 while tokens that are known to be blacklisted are answered as such, be the database there or not, else 0.",
    value: () => Number(state.serving() !== "nothing"),
  });
  gauge(registers, {
    name: "tokenblacklist_clock_skew_seconds",
    help: "By how much the database's clock is ahead of this machine's, as last seen.",
    value: () => state.clocks.skewMs / 1000,
  });
  gauge(registers, {
    name: "tokenblacklist_prune_oldest_seconds",
    help: "For how long the entry that has waited longest could have been pruned, looked up once a minute; 0 where none waits, absent where it is not known yet.",
    value() {
      const { oldestMs } = state.backlog;
      return oldestMs && oldestMs / 1000;
    },
  });
  gauge(registers, {
    name: "tokenblacklist_key_sets_unreadable",
    help: "Key sets that could not be read the last time, or had no key that can be used; what was read before stays in use.",
    value: () => state.keys.unreadable,
  });
  gauges(registers, {
    name: "tokenblacklist_tls_files_rejected",
    help: "1 while files of TLS have changed, or are gone, and what is there cannot be used, so that what was read before stays in use; else 0.",
    label: "files",
    values: () =>
      Object.fromEntries(
        Object.entries(state.files.rejected).map(([kind, isRejected]) => [kind, Number(isRejected)]),
      ),
  });
  for (const [name, when, help] of VALIDITY) {
    gauges(registers, {
      name: `tokenblacklist_certificate_${name}_timestamp_seconds`,
      help,
      label: "certificate",
      values: () =>
        Object.fromEntries(
          state.certificates.validities.map(([of, validity]) => [of, validity[when] / 1000]),
        ),
    });
  }
  counters(registers, {
    name: "tokenblacklist_log_lines_dropped_total",
    help: "Lines of the log that could not be written, those of the audit log and all others.",
    label: "line",
    values: () => ({ ...state.output.dropped }),
  });
  gauges(registers, {
    name: "tokenblacklist_quota_used_ratio",
    help: "The largest share of its quota that any caller has used: of QUOTA_ROWS at most, and of QUOTA_ROWS_PER_SECOND; absent where there is none.",
    label: "quota",
    values() {
      const { rows, rowsPerSecond } = state.quota?.used ?? {};
      return {
        ...(rows === undefined ? {} : { rows }),
        ...(rowsPerSecond === undefined ? {} : { rows_per_second: rowsPerSecond }),
      };
    },
  });
  registerPool(registers, state.store);
  registerConnections(registers, state);
  if (index !== undefined) registerIndex(registers, index);
  if (feed !== undefined) registerFeed(registers, feed);
}

function registerPool(registers: Registry[], store: State["store"]): void {
  gauges(registers, {
    name: "tokenblacklist_pool_connections",
    help: "Connections to the database that List, Prune and the like share, by what they do.",
    label: "state",
    values() {
      const { used, idle } = store.poolUse;
      return { used, idle };
    },
  });
  gauge(registers, {
    name: "tokenblacklist_pool_connections_limit",
    help: "How many of these connections there may be.",
    value: () => store.poolUse.limit,
  });
  gauge(registers, {
    name: "tokenblacklist_pool_waiting",
    help: "Statements that wait for one of these connections.",
    value: () => store.poolUse.waiting,
  });
}

function registerConnections(
  registers: Registry[],
  { connections, health }: Pick<State, "connections" | "health">,
): void {
  const each = (value: (of: Connections) => number) => () =>
    Object.fromEntries(Object.entries(connections).map(([listener, of]) => [listener, value(of)]));
  gauges(registers, {
    name: "tokenblacklist_connections",
    help: "Connections that are open, by the listener that they came to.",
    label: "listener",
    values: each(({ size }) => size),
  });
  gauges(registers, {
    name: "tokenblacklist_connections_limit",
    help: "How many connections a listener takes.",
    label: "listener",
    values: each(({ limits }) => limits.total),
  });
  gauge(registers, {
    name: "tokenblacklist_unauthenticated_connections",
    help: "Connections to LISTEN_ADDRESS on which no caller is known yet.",
    value: () => connections.grpc.unauthenticated,
  });
  counters(registers, {
    name: "tokenblacklist_connections_closed_total",
    help: "Connections that the service closed or refused by itself, at all listeners, by the reason.",
    label: "reason",
    values: () =>
      Object.fromEntries(
        CLOSE_REASONS.map((reason) => [
          reason,
          Object.values(connections).reduce((sum, { closed }) => sum + closed[reason], 0),
        ]),
      ),
  });
  gauge(registers, {
    name: "tokenblacklist_health_watches",
    help: "Streams of the health service's Watch that are open.",
    value: () => health.watches(),
  });
}

function registerIndex(registers: Registry[], index: IndexState): void {
  gauge(registers, {
    name: "tokenblacklist_index_entries",
    help: "Entries in the index in memory, expired or not; 0 while it is not there.",
    value: () => index.size,
  });
  gauge(registers, {
    name: "tokenblacklist_index_live_entries",
    help: "Entries in the index that still answer BLACKLISTED; where they are many, reckoned from a part of them.",
    value: () => index.countLive(),
  });
  gauge(registers, {
    name: "tokenblacklist_index_staleness_seconds",
    help: "Time since the index was last proven to be current; +Inf while it may not be believed.",
    value: () => index.staleness / 1000,
  });
  gauge(registers, {
    name: "tokenblacklist_follower_lag_commits",
    help: "Commits that the database is known to have and the index lacks; +Inf while it may not be believed.",
    value: () => index.lag,
  });
  gauges(registers, {
    name: "tokenblacklist_index_phase",
    help: "1 for what the index is doing, 0 for everything else.",
    label: "phase",
    values: () => Object.fromEntries(PHASES.map((phase) => [phase, Number(phase === index.phase)])),
  });
}

function registerFeed(registers: Registry[], feed: FeedState): void {
  gauge(registers, {
    name: "tokenblacklist_watchers",
    help: "Copies of the blacklist that this replica feeds.",
    value: () => feed.size,
  });
  gauge(registers, {
    name: "tokenblacklist_watch_lag_changes",
    help: "Changes that the slowest of these copies has yet to be sent.",
    value: () => feed.lag,
  });
  gauges(registers, {
    name: "tokenblacklist_watch_snapshots",
    help: "Copies that are being sent everything, and those that wait for their turn.",
    label: "state",
    values() {
      const { underWay, waiting } = feed.snapshots;
      return { "under-way": underWay, waiting };
    },
  });
}
