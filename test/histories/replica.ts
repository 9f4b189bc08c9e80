import { once } from "node:events";
import { connect } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { createRpcClient, type RpcClient } from "../../src/client/rpc-client.ts";
import { FaultProxy } from "../support/fault-proxy.ts";
import { freePort } from "../support/free-port.ts";
import { CommandProcess } from "../support/service-process.ts";

const LAUNCH_TIMEOUT_MS = 20_000;
const PROBE_PAUSE_MS = 3;

/** One replica of the service: a process that reaches the database through its own proxy. */
export class Replica {
  readonly index: number;
  readonly proxy: FaultProxy;
  readonly #env: Readonly<Record<string, string>>;
  readonly #entrances: FaultProxy[] = [];
  #port = 0;
  #ending: string | undefined;
  #process: CommandProcess | undefined;
  #client: RpcClient | undefined;

  private constructor(index: number, proxy: FaultProxy, env: Readonly<Record<string, string>>) {
    this.index = index;
    this.proxy = proxy;
    this.#env = env;
  }

  static async start(
    index: number,
    { databaseUrl, env }: { databaseUrl: string; env: Readonly<Record<string, string>> },
  ): Promise<Replica> {
    const proxy = await FaultProxy.start({ port: Number(new URL(databaseUrl).port) });
    const replica = new Replica(index, proxy, { ...env, DATABASE_URL: proxy.through(databaseUrl) });
    try {
      await replica.launch();
      return replica;
    } catch (error) {
      await replica.stop();
      throw error;
    }
  }

  /** The last log lines of a process that ended without being killed. */
  get ending(): string | undefined {
    return this.#ending;
  }

  /** Calls the running process, or the last one. */
  get client(): RpcClient {
    if (this.#client === undefined) throw new Error("the replica was never launched");
    return this.#client;
  }

  /** A separate proxy to this replica, at any port. It is closed together with the replica. */
  async openEntrance(): Promise<FaultProxy> {
    const entrance = await FaultProxy.start({ port: this.#port });
    this.#entrances.push(entrance);
    return entrance;
  }

  /** Starts the process, and resolves as soon as its port accepts connections; it may not answer yet. */
  async launch(): Promise<void> {
    // A new port each time: a client would wait before it retries one that has just refused it.
    const port = await freePort();
    const process = new CommandProcess(["serve"], {
      LISTEN_ADDRESS: `127.0.0.1:${port}`,
      ADMIN_ADDRESS: "127.0.0.1:0",
      PRUNE_INTERVAL: "0",
      LOG_LEVEL: "error",
      ...this.#env,
    });
    this.#process = process;
    void process.ended.then(({ code, signal, stdout, stderr }) => {
      if (this.#process === process) this.#ending = `${code ?? signal} ${stdout}${stderr}`;
    });
    await Promise.race([listening(port), failure(process)]);
    this.#port = port;
    for (const entrance of this.#entrances) entrance.aim(port);
    this.#client?.close();
    this.#client = createRpcClient({ address: `127.0.0.1:${port}` });
  }

  /** Kills the process with SIGKILL, paused or not. */
  async kill(): Promise<void> {
    const process = this.#process;
    this.#process = undefined;
    await process?.kill();
  }

  async pause(): Promise<void> {
    await this.#process?.signal("SIGSTOP");
  }

  async resume(): Promise<void> {
    await this.#process?.signal("SIGCONT");
  }

  async stop(): Promise<void> {
    await this.kill();
    this.#client?.close();
    await Promise.all([this.proxy, ...this.#entrances].map((proxy) => proxy.close()));
  }
}

async function listening(port: number): Promise<void> {
  const giveUpAt = performance.now() + LAUNCH_TIMEOUT_MS;
  while (!(await accepts(port))) {
    if (performance.now() > giveUpAt)
      throw new Error(`a replica does not listen after ${LAUNCH_TIMEOUT_MS} ms`);
    await delay(PROBE_PAUSE_MS);
  }
}

async function accepts(port: number): Promise<boolean> {
  const socket = connect({ host: "127.0.0.1", port });
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

async function failure(process: CommandProcess): Promise<never> {
  const { code, signal, stdout, stderr } = await process.ended;
  throw new Error(`a replica ended with ${code ?? signal} before it listened:\n${stdout}${stderr}`);
}
