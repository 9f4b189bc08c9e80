import type { Registry } from "prom-client";
import type { Fallback, Observer, ReadEnd } from "../blacklist/observer.ts";
import type { EpochMs } from "../entry.ts";
import type { WriteResult } from "../store/store.ts";
import { Distribution } from "./distribution.ts";
import { counter, counters, gauge, histogram, zeros } from "./lazy-metrics.ts";

/** Bounds for the duration of a read or commit, in seconds. Reading changes takes 0.1 ms, and all statements time out after 1.5 s. */
const DATABASE_TIMES = [
  0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5,
];
/** Bounds for numbers of entries, or of calls that share a read or a commit. */
const BATCH_SIZES = [0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000];

const READ_ENDS: readonly ReadEnd[] = ["proven", "more", "read-only", "lost", "failed"];
const FALLBACKS: readonly Fallback[] = ["no-index", "unknown-revision"];
const WRITE_OUTCOMES: readonly WriteResult["outcome"][] = ["created", "extended", "unchanged"];
const READ_KINDS = ["changes", "jtis"] as const;

/** Counts the events that the domain reports. */
export class DomainMetrics implements Observer {
  readonly #commits = { succeeded: 0, failed: 0 };
  readonly #commitTimes = new Distribution(DATABASE_TIMES);
  readonly #commitEntries = new Distribution(BATCH_SIZES);
  readonly #commitRequests = new Distribution(BATCH_SIZES);
  readonly #written = zeros(WRITE_OUTCOMES);
  readonly #reads = zeros(READ_ENDS);
  readonly #lookUps = { succeeded: 0, failed: 0 };
  readonly #readTimes = { changes: new Distribution(DATABASE_TIMES), jtis: new Distribution(DATABASE_TIMES) };
  readonly #readCalls = { changes: new Distribution(BATCH_SIZES), jtis: new Distribution(BATCH_SIZES) };
  readonly #fallbacks = zeros(FALLBACKS);
  #pruned = 0;
  readonly #pruneRuns = { succeeded: 0, failed: 0 };
  #lastPrune: { readonly at: EpochMs; readonly succeeded: boolean } | undefined;
  #lastSuccess: EpochMs | undefined;
  #startsOver = 0;

  constructor(registers: Registry[]) {
    this.#registerWrites(registers);
    this.#registerReads(registers);
    this.#registerPruning(registers);
    counter(registers, {
      name: "tokenblacklist_watch_starts_over_total",
      help: "Local copies that needed a new snapshot, because they had fallen behind the change log or the index was rebuilt.",
      value: () => this.#startsOver,
    });
  }

  committed({ participants, results, milliseconds }: Parameters<Observer["committed"]>[0]): void {
    this.#commits[results === undefined ? "failed" : "succeeded"]++;
    this.#commitTimes.add(milliseconds / 1000);
    if (results === undefined) return;
    this.#commitRequests.add(participants.length);
    this.#commitEntries.add(results.length);
    for (const { outcome } of results) this.#written[outcome]++;
  }

  followed({ participants, milliseconds, end }: Parameters<Observer["followed"]>[0]): void {
    this.#reads[end]++;
    this.#readTimes.changes.add(milliseconds / 1000);
    this.#readCalls.changes.add(participants.length);
  }

  lookedUp({ participants, milliseconds, succeeded }: Parameters<Observer["lookedUp"]>[0]): void {
    this.#lookUps[succeeded ? "succeeded" : "failed"]++;
    this.#readTimes.jtis.add(milliseconds / 1000);
    this.#readCalls.jtis.add(participants.length);
  }

  fellBack(reason: Fallback): void {
    this.#fallbacks[reason]++;
  }

  pruned(count: number): void {
    this.#pruned += count;
  }

  pruneEnded(run: { at: EpochMs; succeeded: boolean }): void {
    this.#pruneRuns[run.succeeded ? "succeeded" : "failed"]++;
    this.#lastPrune = run;
    if (run.succeeded) this.#lastSuccess = run.at;
  }

  startedOver(): void {
    this.#startsOver++;
  }

  #registerWrites(registers: Registry[]): void {
    counters(registers, {
      name: "tokenblacklist_commits_total",
      help: "Commits, by outcome. The caller of a failed commit does not know its outcome, and retries.",
      label: "outcome",
      values: () => this.#commits,
    });
    histogram(registers, {
      name: "tokenblacklist_commit_seconds",
      help: "Duration of a commit, including retries after lost responses.",
      bySeries: () => [["", this.#commitTimes]],
    });
    histogram(registers, {
      name: "tokenblacklist_commit_entries",
      help: "Number of entries per commit.",
      bySeries: () => [["", this.#commitEntries]],
    });
    histogram(registers, {
      name: "tokenblacklist_commit_requests",
      help: "Number of requests per commit.",
      bySeries: () => [["", this.#commitRequests]],
    });
    counters(registers, {
      name: "tokenblacklist_written_entries_total",
      help: "Entries in commits, by outcome.",
      label: "outcome",
      values: () => this.#written,
    });
  }

  #registerReads(registers: Registry[]): void {
    counters(registers, {
      name: "tokenblacklist_follower_reads_total",
      help: "Reads of changes, by result: proof that the index is current, a full page with more to follow, a response from a read-only server, lost commits, or a failure.",
      label: "end",
      values: () => this.#reads,
    });
    counters(registers, {
      name: "tokenblacklist_lookups_total",
      help: "Look-ups of jtis in the database instead of the index, by outcome.",
      label: "outcome",
      values: () => this.#lookUps,
    });
    histogram(registers, {
      name: "tokenblacklist_read_seconds",
      help: "Duration of a read of the database, by kind: changes or jtis.",
      label: "read",
      bySeries: () => READ_KINDS.map((kind) => [kind, this.#readTimes[kind]]),
    });
    histogram(registers, {
      name: "tokenblacklist_read_calls",
      help: "Calls per read of the database, by kind; a read of the database monitor counts as a call.",
      label: "read",
      bySeries: () => READ_KINDS.map((kind) => [kind, this.#readCalls[kind]]),
    });
    counters(registers, {
      name: "tokenblacklist_fallbacks_total",
      help: "Checks answered by the database although INDEX is on, by reason: the index was incomplete, or the check named a revision that this replica has not seen.",
      label: "reason",
      values: () => this.#fallbacks,
    });
  }

  #registerPruning(registers: Registry[]): void {
    counter(registers, {
      name: "tokenblacklist_pruned_entries_total",
      help: "Expired entries deleted by this process, on schedule and by Prune.",
      value: () => this.#pruned,
    });
    counters(registers, {
      name: "tokenblacklist_prune_runs_total",
      help: "Scheduled prune runs, by outcome.",
      label: "outcome",
      values: () => this.#pruneRuns,
    });
    gauge(registers, {
      name: "tokenblacklist_prune_last_run_success",
      help: "1 if the last scheduled prune run succeeded, 0 if it failed; absent before the first run.",
      value: () => this.#lastPrune && Number(this.#lastPrune.succeeded),
    });
    gauge(registers, {
      name: "tokenblacklist_prune_last_run_timestamp_seconds",
      help: "When the last scheduled prune run ended, in seconds since 1970; absent before the first run.",
      value: () => this.#lastPrune && this.#lastPrune.at / 1000,
    });
    gauge(registers, {
      name: "tokenblacklist_prune_last_success_timestamp_seconds",
      help: "When the last successful scheduled prune run ended, in seconds since 1970; absent before the first success.",
      value: () => this.#lastSuccess && this.#lastSuccess / 1000,
    });
  }
}
