import { createRpcClient, type RpcClient } from "../../src/client/rpc-client.ts";
import { readConfig } from "../../src/config/config.ts";
import { formatHostPort } from "../../src/connections/host-port.ts";
import { migrate } from "../../src/start/migrate.ts";
import { type Service, start } from "../../src/start/service.ts";
import type { Clock } from "../../src/time/clock.ts";
import { type LogRecord, memoryLog } from "./memory-log.ts";
import { until } from "./until.ts";

export interface RunningService {
  readonly service: Service;
  /** `host:port` for gRPC. */
  readonly address: string;
  /** The base URL for probes and metrics, without a slash at the end. */
  readonly adminUrl: string;
  readonly client: RpcClient;
  /** The log lines so far, without the time. */
  logs(): LogRecord[];
  /** The log as text, to be searched for secrets. */
  logText(): string;
  /** Resolves once checks are answered from memory. */
  indexLoaded(): Promise<void>;
  /** Closes the client, then the service. May be called twice. */
  stop(): Promise<void>;
}

export interface ServiceOptions {
  /** The value of DATABASE_URL. */
  readonly url: string;
  /** Further settings. */
  readonly env?: Readonly<Record<string, string>>;
  readonly clock?: Clock;
  /** False if the database is unavailable or not migrated. The embedded file migrates itself. */
  readonly migrated?: boolean;
  /** The assumed limit of file descriptors; default: the real one. */
  readonly descriptors?: number;
}

/** Starts the real service on free ports in this process, with a client, and its log in memory. */
export async function startService({
  url,
  env = {},
  clock,
  migrated = true,
  descriptors,
}: ServiceOptions): Promise<RunningService> {
  const config = readConfig({
    DATABASE_URL: url,
    LISTEN_ADDRESS: "127.0.0.1:0",
    ADMIN_ADDRESS: "127.0.0.1:0",
    SHUTDOWN_GRACE: "1s",
    // TEST_INDEX=off runs the whole suite without the index.
    INDEX: process.env.TEST_INDEX ?? "on",
    ...env,
  });
  if (migrated && config.database.kind === "mysql") await migrate("up", config.database, () => {});
  const { log, lines, records } = memoryLog();
  const service = await start(config, { log, ...(clock && { clock }), ...(descriptors && { descriptors }) });
  const address = formatHostPort(service.address);
  const client = createRpcClient({ address });
  return {
    service,
    address,
    adminUrl: `http://${formatHostPort(service.adminAddress)}`,
    client,
    logs: records,
    logText: () => lines.join(""),
    indexLoaded: () =>
      until(() => records().some(({ msg }) => msg === "index loaded"), {
        withinMs: 5000,
        what: "the index is loaded",
      }),
    async stop() {
      client.close();
      await service.close();
    },
  };
}
