import type { Logger } from "pino";
import { startAdminServer } from "../admin/admin-server.ts";
import { Admission } from "../admission/admission.ts";
import type { AuthOutcome } from "../auth/authenticator.ts";
import { DatabaseMonitor } from "../blacklist/database-monitor.ts";
import type { Config } from "../config/config.ts";
import { Connections } from "../connections/connections.ts";
import type { HostPort } from "../connections/host-port.ts";
import {
  type ConnectionLimits,
  descriptorLimit,
  type ListenerShares,
  shareDescriptors,
} from "../connections/listener-shares.ts";
import { SchemaError, StartError } from "../errors.ts";
import { createHandlers } from "../grpc/handlers.ts";
import { startGrpcServer } from "../grpc/server.ts";
import { TlsContext } from "../grpc/tls-context.ts";
import type { DroppedLines } from "../logging/log-output.ts";
import { LogSampling } from "../logging/log-sampling.ts";
import { type Build, Metrics } from "../metrics/metrics.ts";
import type { Serving } from "../serving.ts";
import { openStore } from "../store/open-store.ts";
import { CODE_VERSION } from "../store/schema.ts";
import { filesOpenToOthers } from "../store/sqlite-engine.ts";
import type { Store } from "../store/store.ts";
import { type Clock, systemClock } from "../time/clock.ts";
import { ClockBounds } from "../time/clock-bounds.ts";
import { CertificateWatch, type WatchedCertificate } from "../tls/certificate-watch.ts";
import { type Validity, validityOfAuthorities } from "../tls/certificates.ts";
import { openTracing } from "../tracing/call-spans.ts";
import { SharedSpans } from "../tracing/shared-spans.ts";
import { startAuth } from "./auth.ts";
import { startAuthz } from "./authz.ts";
import { createBlacklist } from "./blacklist.ts";

/**
 * A revocation list is reported as expiring in the last tenth of its validity, since the next list should be installed before that. The alert
 * uses the same share.
 */
const CRL_NOTICE_SHARE = 0.1;

export interface Service {
  /** The address of the gRPC listener. */
  readonly address: HostPort;
  readonly adminAddress: HostPort;
  /** The address of the HTTP server for proxies; absent if it is off. */
  readonly authzAddress: HostPort | undefined;
  /** Completes accepted calls within the configured grace, refuses new ones, and releases all resources. */
  close(): Promise<void>;
}

interface Dependencies {
  readonly log: Logger;
  /** Counts lost log lines, for the metrics. Absent: none can be lost. */
  readonly output?: { readonly dropped: DroppedLines };
  /** Build information for the metrics. */
  readonly build?: Omit<Build, "schema">;
  readonly clock?: Clock;
  /** Uniform in [0, 1). */
  readonly random?: () => number;
  /** The process's limit of open file descriptors. */
  readonly descriptors?: number;
}

/**
 * Creates and starts the service. An unavailable database does not prevent that: the service reports NOT_SERVING until it is back. Throws
 * StartError or SchemaError if an operator must correct something; all resources are then released.
 */
export async function start(
  config: Config,
  {
    log,
    output = NO_DROPPED_LINES,
    build = UNKNOWN_BUILD,
    clock = systemClock,
    random = Math.random,
    descriptors = descriptorLimit(),
  }: Dependencies,
): Promise<Service> {
  const closers: (() => unknown)[] = [];
  async function unwind(): Promise<void> {
    for (const close of closers.splice(0).reverse()) await close();
  }

  try {
    const leewayMs = config.expiryLeewayMs;
    const store = openStore(config.database, { clock, leewayMs });
    closers.push(() => store.close());
    if (config.database.kind === "sqlite") warnOfReaders(config.database.filename, log);
    await openIfAvailable(store, log);

    const logSampling = new LogSampling(clock);
    closers.push(() => logSampling.close());
    const metrics = new Metrics({ ...build, schema: CODE_VERSION });
    const tracing = openTracing({ clock, version: build.version });
    if (tracing !== undefined) log.info("calls are traced");
    const admission = new Admission();
    const clockBounds = new ClockBounds(clock);
    const started = createBlacklist(config, {
      store,
      clock,
      clockBounds,
      log,
      random,
      observer: tracing === undefined ? metrics.domain : new SharedSpans(metrics.domain, tracing),
      onPhase: () => updateServing(),
    });
    closers.push(() => started.stop());
    const { blacklist, follower, watchHub, backlog: pruneBacklog, quota } = started;

    let serving: Serving = "nothing";
    const { security } = config;
    const tls = security.tls && new TlsContext({ files: security.tls, clock, log });
    const certificates = new CertificateWatch(watchedCertificates(config, tls), { clock, log });
    closers.push(() => certificates.stop());
    const shares = sharesOf(config, { descriptors, log });
    const connectionsOf = (listener: string, limits: ConnectionLimits) =>
      new Connections({ listener, limits, clock, log });
    const connections = {
      grpc: connectionsOf("LISTEN_ADDRESS", shares.grpc),
      authz: connectionsOf("AUTHZ_ADDRESS", shares.authz),
      admin: connectionsOf("ADMIN_ADDRESS", shares.admin),
    };
    const admin = await startAdminServer(config.adminAddress, {
      connections: connections.admin,
      metrics,
      serving: () => serving,
      notes: () => certificates.notes,
    });
    closers.push(() => admin.close());
    if (security.insecure) log.warn(INSECURE_WARNING);
    const onOutcome = (outcome: AuthOutcome) => metrics.authenticated(outcome);
    const auth = startAuth(security, { clock, clockBounds, log, onOutcome });
    closers.push(() => auth.stop());
    metrics.exportState({
      serving: () => serving,
      store,
      clockBounds,
      backlog: pruneBacklog,
      auth,
      certificates,
      files: {
        get rejected() {
          const { rolesRejected } = auth;
          return {
            ...tls?.rejected,
            ...(rolesRejected === undefined ? {} : { "client-roles": rolesRejected }),
          };
        },
      },
      output,
      connections,
      health: { watches: () => grpc.healthWatches },
      quota,
      index: follower,
      watchHub,
    });
    // Closed after `grpc.drain`, which also waits for the requests in progress on this server.
    const authz = await startAuthz(config.authz, {
      blacklist,
      admission,
      clock,
      connections: connections.authz,
      log,
      logSampling,
      metrics,
      tracing,
    });
    closers.push(() => authz.close());
    const { maxTokenLifetimeMs } = security;
    const grpc = await startGrpcServer(config.listenAddress, {
      handlers: createHandlers({
        metrics,
        blacklist,
        rawTokenVerifier: auth.rawTokens,
        maxTokenLifetimeMs,
      }),
      watchHub,
      environment: {
        log,
        logSampling,
        // Audit lines are written at any LOG_LEVEL.
        auditLog: security.auditLog ? log.child({}, { level: "info" }) : undefined,
        authenticate: auth.authenticate,
        checkOwnToken: (caller) => blacklist.checkOwnToken(caller),
        callerValidity: auth.callerValidity,
        clock,
        admission,
        connections: connections.grpc,
        metrics,
        tracing,
      },
      tls,
      certificateAuthenticator: auth.certificateAuthenticator,
      reflection: security.reflection,
      streamsPerCaller: security.streamsPerCaller,
      extAuthz: authz.extAuthz,
    });

    let isHealthy = false;
    let isStopping = false;
    function updateServing(): void {
      // A service that is shutting down must get no new calls.
      if (isStopping) serving = "nothing";
      else if (isHealthy) serving = "everything";
      else serving = follower?.isComplete ? "positives" : "nothing";
      grpc.setServing(serving);
    }
    const monitor = new DatabaseMonitor({
      probe: () => started.probe(),
      clock,
      clockBounds,
      log,
      onChange(healthy) {
        isHealthy = healthy;
        updateServing();
      },
    });
    closers.push(() => {
      monitor.stop();
      isStopping = true;
      updateServing();
      return grpc.drain({
        // How long calls are still accepted after NOT_SERVING, so that watching clients move to another replica first.
        noticeMs: Math.min(1000, config.shutdownGraceMs / 10),
        timeoutMs: config.shutdownGraceMs * DRAIN_SHARE_OF_GRACE,
      });
    });
    await monitor.start();
    started.start();
    certificates.start();

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

function sharesOf(
  { authz, connections }: Config,
  { descriptors, log }: { descriptors: number; log: Logger },
): ListenerShares {
  const shares = shareDescriptors(descriptors, { ...connections, servesAuthz: authz.address !== undefined });
  if (shares.exceedsDescriptors) {
    log.warn(
      { descriptors, connections: shares.grpc.total },
      "there are too few file descriptors for MAX_CONNECTIONS: raise the limit (ulimit -n, LimitNOFILE)",
    );
  }
  return shares;
}

/** The certificates that the service presents or trusts, and the revocation lists of client certificates. */
function watchedCertificates({ database }: Config, tls: TlsContext | undefined): WatchedCertificate[] {
  const ca = database.kind === "mysql" ? database.tls?.ca : undefined;
  const databaseCa = ca === undefined ? undefined : validityOfAuthorities(ca);
  const watched: WatchedCertificate[] = [];
  if (tls !== undefined) {
    watched.push({ certificate: "server", setting: "TLS_CERT_FILE", validity: () => tls.validity });
  }
  if (tls?.clientCaValidity !== undefined) {
    const validity = () => tls.clientCaValidity as Validity;
    watched.push({ certificate: "client-ca", setting: "TLS_CLIENT_CA_FILE", validity });
  }
  if (tls?.clientListValidity !== undefined) {
    const validity = () => tls.clientListValidity as Validity;
    // Lists are valid for hours or for months.
    const noticeMs = ({ notBefore, notAfter }: Validity) => CRL_NOTICE_SHARE * (notAfter - notBefore);
    watched.push({ certificate: "client-crl", setting: "TLS_CLIENT_CRL_FILE", validity, noticeMs });
  }
  if (databaseCa !== undefined) {
    watched.push({ certificate: "database-ca", setting: "DATABASE_CA_FILE", validity: () => databaseCa });
  }
  return watched;
}

const NO_DROPPED_LINES = { dropped: { audit: 0, other: 0 } };
const UNKNOWN_BUILD = { version: "unknown", node: "unknown" };

const INSECURE_WARNING =
  "INSECURE=yes: without authentication, any peer that can connect to LISTEN_ADDRESS can revoke tokens and read and prune revocations; without TLS, calls can be read on the network";

/** Warns if other users can access the database's files, which an older version created readable for all. */
function warnOfReaders(filename: string, log: Logger): void {
  const files = filesOpenToOthers(filename);
  if (files.length > 0)
    log.warn({ files }, "other users can read or change the database's files: restrict them with chmod 600");
}

/** The share of the grace in which calls may end by themselves. The rest is for stopping the other parts. */
const DRAIN_SHARE_OF_GRACE = 0.8;

/** Opens the store if its database is available, so that an unusable schema prevents the start. */
async function openIfAvailable(store: Store, log: Logger): Promise<void> {
  try {
    const { remark } = await store.open();
    if (remark !== undefined) log.warn(remark);
  } catch (error) {
    if (error instanceof SchemaError || error instanceof StartError) throw error;
    // The database monitor reports the error and retries.
  }
}
