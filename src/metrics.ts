import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "@prometheus-io/client";

/** What the service counts. Labels come from this program alone, never from a caller's input. */
export class Metrics {
  readonly #registry = new Registry();
  readonly #calls: Histogram<"method" | "code">;
  readonly #serving: Gauge;
  readonly #pruned: Counter;
  readonly #rulings: Counter<"asked_by" | "ruling">;
  /** Each method and code's own histogram: looking it up by its labels costs more than the observation. */
  readonly #observers = new Map<string, { observe(seconds: number): void }>();

  constructor() {
    const registers = [this.#registry];
    collectDefaultMetrics({ register: this.#registry });
    this.#calls = new Histogram({
      name: "tokenblacklist_call_duration_seconds",
      help: "Time from a call's arrival to its answer, by RPC method and gRPC code.",
      labelNames: ["method", "code"],
      buckets: [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5],
      registers,
    });
    this.#serving = new Gauge({
      name: "tokenblacklist_serving",
      help: "1 while the database can be reached and takes writes, else 0.",
      registers,
    });
    this.#pruned = new Counter({
      name: "tokenblacklist_pruned_entries_total",
      help: "Expired entries that this process has deleted by itself.",
      registers,
    });
    this.#rulings = new Counter({
      name: "tokenblacklist_rulings_total",
      help: "Answers to proxies, by the way they asked and by what they were told.",
      labelNames: ["asked_by", "ruling"],
      registers,
    });
  }

  observeCall(method: string, code: string, seconds: number): void {
    const key = `${method} ${code}`;
    let observer = this.#observers.get(key);
    if (observer === undefined) {
      observer = this.#calls.labels({ method, code });
      this.#observers.set(key, observer);
    }
    observer.observe(seconds);
  }

  /** What the index in memory is like, asked whenever the metrics are. */
  watchIndex(index: { readonly size: number; readonly staleness: number }): void {
    const registers = [this.#registry];
    new Gauge({
      name: "tokenblacklist_index_entries",
      help: "Entries in the index in memory, expired or not; 0 while it is not there.",
      registers,
      collect() {
        this.set(index.size);
      },
    });
    new Gauge({
      name: "tokenblacklist_index_staleness_seconds",
      help: "Time since the index was last proven to be current; +Inf while it may not be believed.",
      registers,
      collect() {
        this.set(index.staleness / 1000);
      },
    });
  }

  /** Who keeps copies, asked whenever the metrics are. */
  watchFeed(feed: { readonly size: number }): void {
    new Gauge({
      name: "tokenblacklist_watchers",
      help: "Copies of the blacklist that this replica feeds.",
      registers: [this.#registry],
      collect() {
        this.set(feed.size);
      },
    });
  }

  setServing(serving: boolean): void {
    this.#serving.set(serving ? 1 : 0);
  }

  addPruned(count: number): void {
    this.#pruned.inc(count);
  }

  countRuling(askedBy: "ext_authz" | "http", ruling: string): void {
    this.#rulings.inc({ asked_by: askedBy, ruling });
  }

  /** All of it in Prometheus's text format, with its content type. */
  async render(): Promise<{ contentType: string; text: string }> {
    return { contentType: this.#registry.contentType, text: await this.#registry.metrics() };
  }
}
