import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { migrate } from "../../src/start/migrate.ts";
import { parseDatabaseUrl } from "../../src/store/database-url.ts";
import { Choices } from "../histories/choices.ts";
import type { AcknowledgedBatch, Pace, Tally } from "../support/client-load.ts";
import { guardFolder } from "../support/folder-guard.ts";
import { Ledger } from "../support/ledger.ts";
import { type PrivateMariadb, startMariadb } from "../support/mariadb.ts";
import { until } from "../support/until.ts";
import { EVENTS } from "./events.ts";
import { auditChecks, auditList, prune } from "./operator.ts";
import { type Growth, Sampler } from "./sampler.ts";
import { SoakClient } from "./soak-client.ts";
import { SoakReplica } from "./soak-replica.ts";
import { watchedEnvironment } from "./watched-environment.ts";

export interface SoakSetup {
  readonly seed: number;
  readonly durationMs: number;
  /** When the measurement of memory begins. */
  readonly warmUpMs: number;
  /** The interval of `onMinute`. */
  readonly reportMs: number;
  readonly onMinute: (minute: Minute) => void;
  readonly signal: AbortSignal;
  /** A database server, which is stopped at the end; absent: a new one. */
  readonly server?: PrivateMariadb;
}

/** The counts since the last report. */
export interface Minute {
  readonly elapsedMs: number;
  readonly checks: number;
  readonly revoked: number;
  /** Failed calls of the client library that may be retried: during or shortly after a fault, and otherwise. */
  readonly failedInFaults: number;
  readonly failedOtherwise: number;
  readonly events: readonly string[];
  /** Acknowledged tokens verified at every replica, and by List. */
  readonly audited: number;
  /** Those found since the last report. */
  readonly violations: readonly string[];
  /** Name, bytes and descriptors of each measured process, now. */
  readonly usage: Growth["latest"];
}

export interface SoakResult {
  readonly seed: number;
  readonly elapsedMs: number;
  readonly checks: number;
  readonly revoked: number;
  readonly audited: number;
  readonly failedInFaults: number;
  readonly failedOtherwise: number;
  readonly events: Readonly<Record<string, number>>;
  /** Wrong answers, lost acknowledgements, errors that may not be retried, replicas that did not end as they should. */
  readonly violations: readonly string[];
  readonly growth: Growth;
}

const REPLICAS = 3;
const SHUTDOWN_GRACE_MS = 10_000;
/** The leeway and the lifetimes are short, so that expiry keeps up with revocation before memory is measured. */
const SETTINGS = { EXPIRY_LEEWAY: "2s", PRUNE_INTERVAL: "10s", SHUTDOWN_GRACE: "10s", AUDIT_LOG: "off" };
const PACE: Pace = {
  checkers: 4,
  checkPauseMs: 40,
  revokers: 4,
  revokePauseMs: 120,
  lifetimeMs: [15_000, 60_000],
};
/** The effects of a fault last this long after its repair: deadlines expire, clients reconnect. */
const AFTERMATH_MS = 5000;
const RECOVERY_MS = 20_000;
const MAX_PAUSE_MS = 8000;

/** Runs the service and its clients for the given time, and injects faults repeatedly. Leaves nothing behind. */
export async function runSoak(setup: SoakSetup): Promise<SoakResult> {
  const closers: (() => Promise<unknown>)[] = [];
  try {
    return await soak(setup, (close) => void closers.push(close));
  } finally {
    for (const close of closers.reverse()) await close();
  }
}

async function soak(
  { seed, durationMs, warmUpMs, reportMs, onMinute, signal, ...rest }: SoakSetup,
  atTheEnd: (close: () => Promise<unknown>) => void,
): Promise<SoakResult> {
  const server = rest.server ?? (await startMariadb());
  atTheEnd(() => server.stop());
  const { url: databaseUrl } = await server.createDatabase();
  await migrate("up", parseDatabaseUrl(databaseUrl), () => {});
  const { folder, remove } = await guardFolder("token-blacklist-soak");
  atTheEnd(remove);
  const liveFile = (name: string) => join(folder, name);
  const replicas: SoakReplica[] = [];
  for (let number = 1; number <= REPLICAS; number++) {
    const name = `replica ${number}`;
    const env = { ...SETTINGS, ...watchedEnvironment(liveFile(name)) };
    const replica = await SoakReplica.start({ name, databaseUrl, env });
    atTheEnd(() => replica.end());
    replicas.push(replica);
  }

  const began = performance.now();
  const ledger = new Ledger();
  const total = { checks: 0, revoked: 0, audited: 0, failedInFaults: 0, failedOtherwise: 0 };
  const violations: string[] = [];
  const happened: { name: string; from: number; to: number }[] = [];
  const failures: { at: number }[] = [];
  const clients: SoakClient[] = [];

  const onAcknowledged = (batch: AcknowledgedBatch, from: string) => {
    ledger.add(batch.tokens, batch.revision);
    for (const client of clients) if (client.name !== from) client.tell(batch);
  };
  const onTally = (tally: Tally, name: string) => {
    total.checks += tally.checks;
    total.revoked += tally.revoked;
    failures.push(...tally.failed);
    violations.push(...tally.violations.map((text) => `${name}: ${text}`));
  };
  for (const mode of ["remote", "local"] as const) {
    const name = `client in ${mode} mode`;
    const client = new SoakClient({
      name,
      env: watchedEnvironment(liveFile(name)),
      seed,
      mode,
      address: replicas.map(({ address }) => address),
      pace: PACE,
      onAcknowledged: (batch) => onAcknowledged(batch, client.name),
      onTally: (tally) => onTally(tally, client.name),
    });
    atTheEnd(() => client.kill());
    clients.push(client);
  }
  const clientsReady = () =>
    until(() => clients.every(({ ready }) => ready), { withinMs: 30_000, what: "the clients are ready" });
  await clientsReady();

  const sampler = new Sampler({
    // The other replicas are restarted, which frees their memory.
    processes: [replicas[0] as SoakReplica, ...clients].map(({ name, pid }) => ({
      ...{ name, pid, liveFile: liveFile(name) },
    })),
    warmUpMs,
    began,
  });
  atTheEnd(() => sampler.stop());
  sampler.start();

  const ending = new AbortController();
  const end = () => ending.abort();
  const over = ending.signal;
  const timer = setTimeout(end, durationMs);
  signal.addEventListener("abort", end);
  atTheEnd(async () => {
    clearTimeout(timer);
    signal.removeEventListener("abort", end);
  });
  const pause = (ms: number) => delay(ms, undefined, { signal: over }).catch(() => {});

  async function breakThings(): Promise<void> {
    const choices = new Choices(seed, "events");
    const scene = {
      server,
      replicas,
      choices,
      shutdownGraceMs: SHUTDOWN_GRACE_MS,
      violation: (text: string) => void violations.push(text),
    };
    const longest = Math.min(MAX_PAUSE_MS, durationMs / 20);
    while (!over.aborted) {
      for (const name of choices.some(Object.keys(EVENTS), Number.POSITIVE_INFINITY)) {
        await pause(choices.between(longest / 4, longest));
        if (over.aborted) return;
        const event = { name, from: Date.now(), to: Number.POSITIVE_INFINITY };
        happened.push(event);
        await EVENTS[name]?.(scene);
        event.to = Date.now();
      }
    }
  }

  async function operate(): Promise<void> {
    const choices = new Choices(seed, "operator");
    while (!over.aborted) {
      await pause(Math.min(20_000, durationMs / 5));
      violations.push(...(await prune(choices.pick(replicas))));
      await auditAll();
    }
  }

  async function auditAll(): Promise<void> {
    // A replica that is stopped or disconnected has time to recover.
    for (const replica of replicas) await audited(auditChecks(replica, ledger, { withinMs: RECOVERY_MS }));
    await audited(auditList(replicas[0] as SoakReplica, ledger, { withinMs: RECOVERY_MS }));
  }

  async function audited(audit: ReturnType<typeof auditChecks>): Promise<void> {
    const { tokens, violations: found } = await audit;
    total.audited += tokens;
    violations.push(...found);
  }

  function attribute(): void {
    for (const { at } of failures.splice(0)) {
      const excused = happened.some(({ from, to }) => at >= from - 1000 && at <= to + AFTERMATH_MS);
      total[excused ? "failedInFaults" : "failedOtherwise"] += 1;
    }
  }

  let last = { ...total };
  let told = 0;
  let toldViolations = 0;
  function report(): void {
    attribute();
    const since = (name: keyof typeof total) => total[name] - last[name];
    onMinute({
      elapsedMs: performance.now() - began,
      checks: since("checks"),
      revoked: since("revoked"),
      failedInFaults: since("failedInFaults"),
      failedOtherwise: since("failedOtherwise"),
      audited: since("audited"),
      events: happened.slice(told).map(({ name }) => name),
      violations: violations.slice(toldViolations),
      usage: sampler.latest,
    });
    told = happened.length;
    toldViolations = violations.length;
    last = { ...total };
  }
  const reporting = setInterval(report, reportMs);
  atTheEnd(async () => clearInterval(reporting));

  await Promise.all([breakThings(), operate()]);
  const growth = sampler.stop().then(() => sampler.growth());
  await clientsReady();
  await auditAll();
  await Promise.all(clients.map((client) => client.stop()));
  // All writers have stopped, and no fault is active.
  await auditAll();
  for (const replica of replicas) {
    const { code, stderr } = await replica.terminate({ graceMs: SHUTDOWN_GRACE_MS });
    if (code !== 0) violations.push(`${replica.name} ended with ${code} in the end: ${stderr}`);
  }
  clearInterval(reporting);
  report();
  const events: Record<string, number> = {};
  for (const { name } of happened) events[name] = (events[name] ?? 0) + 1;
  return { seed, elapsedMs: performance.now() - began, ...total, events, violations, growth: await growth };
}
