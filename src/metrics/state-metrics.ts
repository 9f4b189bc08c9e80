import type { Registry } from "prom-client";
import type { Follower, Phase } from "../blacklist/follower.ts";
import type { Quota } from "../blacklist/quota.ts";
import type { WatchHub } from "../blacklist/watch-hub.ts";
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
  readonly clockBounds: { readonly skewMs: number };
  /** How long the oldest prunable entry has been prunable: 0 if there is none, undefined while unknown. */
  readonly backlog: { readonly longestWaitMs: number | undefined };
  readonly auth: { readonly unreadableKeySets: number };
  readonly certificates: { readonly validities: readonly (readonly [string, Validity])[] };
  /** For each kind of reloaded files, whether the latest version was rejected. */
  readonly files: { readonly rejected: Readonly<Record<string, boolean>> };
  readonly output: { readonly dropped: DroppedLines };
  readonly connections: Readonly<Record<"grpc" | "authz" | "admin", Connections>>;
  readonly health: { watches(): number };
  /** Absent if there are no quotas. */
  readonly quota: Pick<Quota, "used"> | undefined;
  /** Absent if the index is off. */
  readonly index: IndexState | undefined;
  /** Absent if the index is off. */
  readonly watchHub: WatchHubState | undefined;
}

type IndexState = Pick<Follower, "phase" | "entries" | "staleness" | "lag">;
type WatchHubState = Pick<WatchHub, "size" | "lag" | "snapshots">;

const PHASES: readonly Phase[] = ["loading", "following", "rebuilding", "overflowed"];

/** The gauges of a certificate's validity: a part of the gauge's name, the member of {@link Validity}, and the help. */
const VALIDITY_GAUGES = [
  ["not_before", "notBefore", "When a certificate in use becomes valid; absent if there is none."],
  [
    "not_after",
    "notAfter",
    "When a certificate in use expires: the first of its chain, or the last of the CAs in a file.",
  ],
] as const;

export function registerState(registers: Registry[], { index, watchHub, ...state }: State): void {
  gauge(registers, {
    name: "tokenblacklist_serving",
    help: "1 while the database responds and accepts writes, else 0.",
    value: () => Number(state.serving() === "everything"),
  });
  gauge(registers, {
    name: "tokenblacklist_serving_positives",
    help: "1 while known positives are answered, which does not need the database, else 0.",
    value: () => Number(state.serving() !== "nothing"),
  });
  gauge(registers, {
    name: "tokenblacklist_clock_skew_seconds",
    help: "By how much the database's clock is ahead of this machine's, at its last reading.",
    value: () => state.clockBounds.skewMs / 1000,
  });
  gauge(registers, {
    name: "tokenblacklist_prune_oldest_seconds",
    help: "How long the oldest prunable entry has been prunable, looked up once a minute; 0 if there is none, absent while unknown.",
    value() {
      const { longestWaitMs } = state.backlog;
      return longestWaitMs && longestWaitMs / 1000;
    },
  });
  gauge(registers, {
    name: "tokenblacklist_key_sets_unreadable",
    help: "Key sets whose last read failed or had no usable key; the previous keys stay in use.",
    value: () => state.auth.unreadableKeySets,
  });
  gauges(registers, {
    name: "tokenblacklist_tls_files_rejected",
    help: "1 while changed or missing TLS files cannot be used, so that their previous content stays in use, else 0.",
    label: "files",
    values: () => mapValues(state.files.rejected, Number),
  });
  for (const [name, member, help] of VALIDITY_GAUGES) {
    gauges(registers, {
      name: `tokenblacklist_certificate_${name}_timestamp_seconds`,
      help,
      label: "certificate",
      values: () =>
        mapValues(Object.fromEntries(state.certificates.validities), (validity) => validity[member] / 1000),
    });
  }
  counters(registers, {
    name: "tokenblacklist_log_lines_dropped_total",
    help: "Log lines dropped because they could not be written: audit lines and others.",
    label: "line",
    values: () => ({ ...state.output.dropped }),
  });
  gauges(registers, {
    name: "tokenblacklist_quota_used_ratio",
    help: "The largest share of a quota used by any caller, by quota; absent if there is no quota.",
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
  if (watchHub !== undefined) registerWatchHub(registers, watchHub);
}

function registerPool(registers: Registry[], store: State["store"]): void {
  gauges(registers, {
    name: "tokenblacklist_pool_connections",
    help: "Pooled connections to the database, for List, Prune and similar, by state.",
    label: "state",
    values() {
      const { used, idle } = store.poolUse;
      return { used, idle };
    },
  });
  gauge(registers, {
    name: "tokenblacklist_pool_connections_limit",
    help: "Maximum number of pooled connections to the database.",
    value: () => store.poolUse.limit,
  });
  gauge(registers, {
    name: "tokenblacklist_pool_waiting",
    help: "Statements waiting for a pooled connection to the database.",
    value: () => store.poolUse.waiting,
  });
}

function registerConnections(
  registers: Registry[],
  { connections, health }: Pick<State, "connections" | "health">,
): void {
  gauges(registers, {
    name: "tokenblacklist_connections",
    help: "Open connections, by listener.",
    label: "listener",
    values: () => mapValues(connections, ({ size }) => size),
  });
  gauges(registers, {
    name: "tokenblacklist_connections_limit",
    help: "Maximum number of connections, by listener.",
    label: "listener",
    values: () => mapValues(connections, ({ limits }) => limits.total),
  });
  gauge(registers, {
    name: "tokenblacklist_unauthenticated_connections",
    help: "Connections to LISTEN_ADDRESS without an authenticated caller.",
    value: () => connections.grpc.unauthenticated,
  });
  counters(registers, {
    name: "tokenblacklist_connections_closed_total",
    help: "Connections closed or refused by the service, at all listeners, by reason.",
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
    help: "Open Watch streams of the health service.",
    value: () => health.watches(),
  });
}

function registerIndex(registers: Registry[], index: IndexState): void {
  gauge(registers, {
    name: "tokenblacklist_index_entries",
    help: "Entries in the index in memory, expired ones included; 0 while there is no index.",
    value: () => index.entries.size,
  });
  gauge(registers, {
    name: "tokenblacklist_index_live_entries",
    help: "Entries in the index that are still effective; estimated from a sample if there are many.",
    value: () => index.entries.countLive(),
  });
  gauge(registers, {
    name: "tokenblacklist_index_staleness_seconds",
    help: "Time since the index was last proven current; +Inf while it is not reliable.",
    value: () => index.staleness / 1000,
  });
  gauge(registers, {
    name: "tokenblacklist_follower_lag_commits",
    help: "Commits known to be in the database that the index is not proven to include; +Inf while the index is not reliable.",
    value: () => index.lag,
  });
  gauges(registers, {
    name: "tokenblacklist_index_phase",
    help: "1 for the current phase of the index, 0 for the others.",
    label: "phase",
    values: () => Object.fromEntries(PHASES.map((phase) => [phase, Number(phase === index.phase)])),
  });
}

function registerWatchHub(registers: Registry[], watchHub: WatchHubState): void {
  gauge(registers, {
    name: "tokenblacklist_watchers",
    help: "Local copies connected to this replica.",
    value: () => watchHub.size,
  });
  gauge(registers, {
    name: "tokenblacklist_watch_lag_changes",
    help: "Changes that the slowest local copy has not been sent.",
    value: () => watchHub.lag,
  });
  gauges(registers, {
    name: "tokenblacklist_watch_snapshots",
    help: "Snapshots being sent to local copies, and queued ones.",
    label: "state",
    values() {
      const { inFlight, waiting } = watchHub.snapshots;
      return { "under-way": inFlight, waiting };
    },
  });
}

function mapValues<T>(members: Readonly<Record<string, T>>, value: (member: T) => number) {
  return Object.fromEntries(Object.entries(members).map(([name, member]) => [name, value(member)]));
}
