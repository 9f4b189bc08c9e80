import { once } from "node:events";
import { type MessagePort, parentPort, workerData } from "node:worker_threads";
import { pino } from "pino";
import type { Config } from "./config.ts";
import { type Failure, failureOf } from "./failure.ts";
import { formatHostPort } from "./host-port.ts";
import { createLogger } from "./logger.ts";
import { start } from "./start.ts";

// The thread in which the service runs: see `serve` in main.ts. It is told once to stop, and says at its end how that went.

export interface ServiceThreadEnd {
  /** Absent when it ended as it should. */
  readonly failure?: Failure;
  /** True when the time to stop was over before everything had ended. */
  readonly overdue?: boolean;
}

async function run(port: MessagePort, config: Config): Promise<ServiceThreadEnd> {
  const destination = pino.destination({ dest: 1, sync: false });
  try {
    const log = createLogger(config.logLevel, destination);
    const told = once(port, "message");
    const service = await start(config, { log });
    log.info(
      {
        address: formatHostPort(service.address),
        admin: formatHostPort(service.adminAddress),
        database: config.database.kind,
      },
      "listening",
    );
    const [signal] = await told;
    log.info({ signal }, "stopping: answering what was accepted");
    const overdue = setTimeout(() => {
      log.error("not everything ended in time: stopping all the same");
      destination.flushSync();
      port.postMessage({ overdue: true } satisfies ServiceThreadEnd);
    }, config.shutdownGraceMs * 0.95);
    await service.close();
    clearTimeout(overdue);
    log.info("stopped");
    return {};
  } catch (error) {
    const failure = failureOf(error);
    if (failure === undefined) throw error;
    return { failure };
  } finally {
    destination.flushSync();
  }
}

const port = parentPort as MessagePort;
port.postMessage(await run(port, workerData as Config));
port.close();
