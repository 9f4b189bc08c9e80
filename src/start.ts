import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "pino";
import { startAdminServer } from "./admin/admin-server.ts";
import { Blacklist } from "./blacklist/blacklist.ts";
import { ChangeLog } from "./blacklist/change-log.ts";
import { CoalescedChecks } from "./blacklist/coalesced-checks.ts";
import { Feed } from "./blacklist/feed.ts";
import { Follower } from "./blacklist/follower.ts";
import { Heartbeat } from "./blacklist/heartbeat.ts";
import { IndexedChecks } from "./blacklist/indexed-checks.ts";
import { PruneSchedule } from "./blacklist/prune-schedule.ts";
import { Quota } from "./blacklist/quota.ts";
import { Writer } from "./blacklist/writer.ts";
import { BothClocks } from "./both-clocks.ts";
import { type Clock, systemClock } from "./clock.ts";
import type { Config } from "./config/config.ts";
import { SchemaError, StartError } from "./errors.ts";
import { Calls } from "./grpc/calls.ts";
import { createHandlers } from "./grpc/handlers.ts";
import { startGrpcServer } from "./grpc/server.ts";
import { TlsContext } from "./grpc/tls-context.ts";
import type { HostPort } from "./host-port.ts";
import { Metrics } from "./metrics.ts";
import { startAuth } from "./start-auth.ts";
import { startAuthz } from "./start-authz.ts";
import { openStore } from "./store/open-store.ts";
import type { Store } from "./store/store.ts";

export interface Service {
  /** Where calls are answered. */
  readonly address: HostPort;
  readonly adminAddress: HostPort;
  /** Where proxies ask over HTTP; absent where that is off. */
  readonly authzAddress: HostPort | undefined;
  /** Stops within the configured grace: answers what was accepted, refuses what is new, and lets everything go. */
  close(): Promise<void>;
}

/**
 * Puts the service together and starts it. A database that is away does not prevent it: the service is NOT_SERVING until it is back.
 * Throws StartError or SchemaError when an operator has something to mend; nothing is left behind then.
 */
export async function start(
  config: Config,
  { log, clock = systemClock, random = Math.random }: { log: Logger; clock?: Clock; random?: () => number },
): Promise<Service> {
  const closers: (() => unknown)[] = [];
  async function unwind(): Promise<void> {
    for (const close of closers.splice(0).reverse()) await close();
  }

  try {
    const leewayMs = config.expiryLeewayMs;
    const store = openStore(config.database, { clock, leewayMs });
    closers.push(() => store.close());
    await openIfThere(store, log);

    const metrics = new Metrics();
    const calls = new Calls();
    const writer = new Writer({ store, clock, leewayMs });
    // What still runs after the drain is cut short by closing the store.
    const within = <T>(work: Promise<T>) =>
      Promise.race([work, delay(config.shutdownGraceMs * FLUSH_SHARE, undefined, { ref: false })]);
    closers.push(() => within(writer.settled()));
    const clocks = new BothClocks(clock);
    const fromDatabase = new CoalescedChecks({ store, clock, leewayMs });
    const changeLog = new ChangeLog();
    const follower = config.index
      ? new Follower({ store, clock, clocks, log, changeLog, leewayMs, maxEntries: config.indexMaxEntries })
      : undefined;
    const feed = follower && new Feed({ follower, changeLog, store, clock, clocks, leewayMs });
    closers.push(() => follower?.stop());
    if (follower !== undefined) metrics.watchIndex(follower);
    if (feed !== undefined) metrics.watchFeed(feed);
    const checks =
      follower === undefined
        ? fromDatabase
        : new IndexedChecks({ follower, fallback: fromDatabase, clocks, leewayMs });
    // One read tells the index what changed and the heartbeat that the database is there.
    const probe = () => (follower?.isComplete ? follower.standing() : store.read([]));
    const retentionMs = config.pruneRetentionMs;
    const quota = quotaOf(config, { store, clock });
    const blacklist = new Blacklist({ store, writer, checks, quota, clock, clocks, leewayMs, retentionMs });
    const schedule = new PruneSchedule({ blacklist, clock, log, metrics, random });
    closers.push(() => within(schedule.stop()));

    let serving = false;
    const admin = await startAdminServer(config.adminAddress, { metrics, isServing: () => serving });
    closers.push(() => admin.close());
    const { security } = config;
    const tls = security.tls && new TlsContext({ files: security.tls, clock, log });
    if (security.insecure) log.warn(INSECURE);
    const { authenticate, rawTokens, stop: stopAuth } = startAuth(security, { clock, clocks, log });
    closers.push(stopAuth);
    // Closed after gRPC has been drained, and with it what is asked here.
    const authz = await startAuthz(config.authz, { blacklist, calls, clock, log, metrics });
    closers.push(() => authz.close());
    const { maxTokenLifetimeMs } = security;
    const grpc = await startGrpcServer(config.listenAddress, {
      handlers: createHandlers({ blacklist, rawTokens, maxTokenLifetimeMs }),
      feed,
      environment: {
        log,
        auditLog: security.auditLog ? auditLog(log) : undefined,
        authenticate,
        clock,
        calls,
        metrics,
      },
      tls,
      reflection: security.reflection,
      extAuthz: authz.extAuthz,
    });

    function setServing(healthy: boolean): void {
      serving = healthy;
      grpc.setServing(healthy);
      metrics.setServing(healthy);
    }
    const heartbeat = new Heartbeat({ probe, clock, clocks, log, onChange: setServing });
    closers.push(() => {
      heartbeat.stop();
      setServing(false);
      return grpc.drain({ noticeMs: noticeOf(config), timeoutMs: config.shutdownGraceMs * DRAIN_SHARE });
    });
    await heartbeat.start();
    follower?.start();
    schedule.start(config.pruneIntervalMs);

    let closing: Promise<void> | undefined;
    return {
      address: grpc.address,
      adminAddress: admin.address,
      authzAddress: authz.address,
      close: () => {
        closing ??= unwind();
        return closing;
      },
    };
  } catch (error) {
    await unwind();
    throw error;
  }
}

const INSECURE =
  "INSECURE=yes: whoever reaches LISTEN_ADDRESS can revoke every token, and read and forget revocations, or listen to those who do";

/** It says what it has to say whatever LOG_LEVEL is. */
function auditLog(log: Logger): Logger {
  return log.child({}, { level: "info" });
}

function quotaOf({ security, expiryLeewayMs }: Config, { store, clock }: { store: Store; clock: Clock }) {
  const { quota } = security;
  if (quota.rows === 0 && quota.rowsPerSecond === 0) return undefined;
  return new Quota({
    ...quota,
    clock,
    count: (revokedBy, limit) =>
      store.countBy({ revokedBy, limit, now: clock.now(), leewayMs: expiryLeewayMs }),
  });
}

/** How long calls are still taken after health has said NOT_SERVING, so that those who watch it go elsewhere first. */
function noticeOf({ shutdownGraceMs }: Config): number {
  return Math.min(1000, shutdownGraceMs / 10);
}

/** The part of the grace in which the last write, or chunk of a prune, may end. */
const FLUSH_SHARE = 0.1;

/** The part of the grace in which calls may end by themselves; the rest is for what comes after. */
const DRAIN_SHARE = 0.8;

/** Opens the store if its database is there, so that a schema that cannot be used is a refusal to start. */
async function openIfThere(store: Store, log: Logger): Promise<void> {
  try {
    const { remark } = await store.open();
    if (remark !== undefined) log.warn(remark);
  } catch (error) {
    if (error instanceof SchemaError || error instanceof StartError) throw error;
    // The heartbeat says why, and goes on trying.
  }
}
