import { createRpcClient, type RpcClient } from "../../src/client/rpc-client.ts";
import { FaultProxy } from "../support/fault-proxy.ts";
import { freePort } from "../support/free-port.ts";
import { CommandProcess, type Ended } from "../support/service-process.ts";
import { until } from "../support/until.ts";

const START_TIMEOUT_MS = 30_000;

export interface SoakReplicaOptions {
  readonly name: string;
  readonly databaseUrl: string;
  readonly env: Readonly<Record<string, string>>;
}

/** A replica that keeps its ports across restarts, and reaches the database through a proxy. */
export class SoakReplica {
  readonly name: string;
  readonly address: string;
  readonly proxy: FaultProxy;
  /** For the operator's calls; kept across restarts. */
  readonly client: RpcClient;
  readonly #admin: string;
  readonly #env: Readonly<Record<string, string>>;
  #process: CommandProcess;

  private constructor({
    name,
    env,
    proxy,
  }: { name: string; env: Record<string, string>; proxy: FaultProxy }) {
    this.name = name;
    this.proxy = proxy;
    this.address = env.LISTEN_ADDRESS as string;
    this.client = createRpcClient({ address: this.address });
    this.#admin = `http://${env.ADMIN_ADDRESS}`;
    this.#env = env;
    this.#process = new CommandProcess(["serve"], env);
  }

  static async start({ name, databaseUrl, env }: SoakReplicaOptions): Promise<SoakReplica> {
    const proxy = await FaultProxy.start({ port: Number(new URL(databaseUrl).port) });
    const replica = new SoakReplica({
      name,
      proxy,
      env: {
        LISTEN_ADDRESS: `127.0.0.1:${await freePort()}`,
        ADMIN_ADDRESS: `127.0.0.1:${await freePort()}`,
        // Its log is kept until the end.
        LOG_LEVEL: "error",
        ...env,
        DATABASE_URL: proxy.through(databaseUrl),
      },
    });
    try {
      await replica.ready();
      return replica;
    } catch (error) {
      await replica.end();
      throw error;
    }
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** Throws if it ends, or is not ready within half a minute. */
  async ready(): Promise<void> {
    const gone = this.#process.ended.then(({ code, stdout, stderr }) => {
      throw new Error(`${this.name} ended with ${code} before it was ready:\n${stdout}${stderr}`);
    });
    const isReady = () =>
      fetch(`${this.#admin}/readyz`).then(
        ({ ok }) => ok,
        () => false,
      );
    await Promise.race([until(isReady, { withinMs: START_TIMEOUT_MS, what: `${this.name} is ready` }), gone]);
  }

  /** Sends SIGTERM, as an operator does, and SIGKILL after `graceMs`. Returns how it ended, and after how long. */
  async terminate({ graceMs }: { graceMs: number }): Promise<Ended & { readonly milliseconds: number }> {
    const began = performance.now();
    await this.#process.signal("SIGTERM");
    const force = setTimeout(() => this.#process.kill(), graceMs);
    const ended = await this.#process.ended;
    clearTimeout(force);
    return { ...ended, milliseconds: performance.now() - began };
  }

  kill(): Promise<void> {
    return this.#process.kill();
  }

  signal(signal: "SIGSTOP" | "SIGCONT"): Promise<void> {
    return this.#process.signal(signal);
  }

  /** Called after it has ended. */
  async startAgain(): Promise<void> {
    this.#process = new CommandProcess(["serve"], this.#env);
    await this.ready();
  }

  /** Releases everything at once. */
  async end(): Promise<void> {
    await this.#process.kill();
    this.client.close();
    await this.proxy.close();
  }
}
