import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { KEEPALIVE_MS, KEEPALIVE_TIMEOUT_MS } from "../../src/client/channel.ts";
import { MAX_WATCH_RETRY_MS } from "../../src/client/local-copy/watched-copy.ts";
import type { FaultProxy } from "../support/fault-proxy.ts";
import { until } from "../support/until.ts";
import { CLOCK_OFFSET, now } from "./driver-clock.ts";
import type {
  GatewayAnswer,
  GatewayCounts,
  GatewayQuestion,
  GatewayReply,
  GatewaySetup,
} from "./gateway-messages.ts";
import type { Freshness } from "./history.ts";
import type { Replica } from "./replica.ts";

const PROGRAM = fileURLToPath(new URL("gateway-process.ts", import.meta.url));
/** A half-open connection is detected after this time; a copy that failed meanwhile waits some seconds before it retries. */
const RECOVERY_TIMEOUT_MS = KEEPALIVE_MS + KEEPALIVE_TIMEOUT_MS + 2 * MAX_WATCH_RETRY_MS;
const RECENTLY_MS = 500;
const NEVER_BLACKLISTED = "never blacklisted";
const GONE = "the gateway is not there";
const NOTHING: GatewayCounts = { copy: 0, copyNegatives: 0, service: 0, snapshots: 0 };

type Question = GatewayQuestion extends infer Q ? (Q extends unknown ? Omit<Q, "id"> : never) : never;

/**
 * A client of the service with a local copy: a process that reaches each replica through
 * its own proxy.
 */
export class Gateway {
  readonly index: number;
  /** In the order of the replicas. */
  readonly entrances: readonly FaultProxy[];
  /** False if the service has no index, so that every check is a call. */
  readonly keepsCopy: boolean;
  readonly #skewMs: number;
  readonly #pending = new Map<number, (reply: GatewayAnswer) => void>();
  #lastId = 0;
  #process: ChildProcess | undefined;
  #output = "";
  #standing = "";
  /** The counts of killed processes. */
  #former = NOTHING;
  #latest = NOTHING;

  private constructor(
    index: number,
    {
      entrances,
      skewMs,
      keepsCopy,
    }: { entrances: readonly FaultProxy[]; skewMs: number; keepsCopy: boolean },
  ) {
    this.index = index;
    this.entrances = entrances;
    this.keepsCopy = keepsCopy;
    this.#skewMs = skewMs;
  }

  static async start(
    index: number,
    { replicas, ...rest }: { replicas: readonly Replica[]; skewMs: number; keepsCopy: boolean },
  ): Promise<Gateway> {
    const entrances = await Promise.all(replicas.map((replica) => replica.openEntrance()));
    const gateway = new Gateway(index, { entrances, ...rest });
    await gateway.launch();
    return gateway;
  }

  get counts(): GatewayCounts {
    return {
      copy: this.#former.copy + this.#latest.copy,
      copyNegatives: this.#former.copyNegatives + this.#latest.copyNegatives,
      service: this.#former.service + this.#latest.service,
      snapshots: this.#former.snapshots + this.#latest.snapshots,
    };
  }

  /** Its error output, for people. */
  get output(): string {
    return this.#output;
  }

  /** Starts the process with an empty copy. */
  async launch(): Promise<void> {
    const setup: GatewaySetup = {
      addresses: this.entrances.map(({ port }) => `127.0.0.1:${port}`),
      skewMs: this.#skewMs,
      clockOffset: CLOCK_OFFSET,
    };
    const child = fork(PROGRAM, {
      execArgv: ["--import", "tsx"],
      env: { PATH: process.env.PATH, GATEWAY: JSON.stringify(setup) },
      stdio: ["ignore", "ignore", "pipe", "ipc"],
    });
    this.#process = child;
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#output += text;
    });
    child.on("message", (reply: GatewayReply) => {
      if (this.#process === child) this.#receive(reply);
    });
    child.once("exit", (code, signal) => {
      if (this.#process !== child) return;
      this.#output += `ended with ${code ?? signal}`;
      this.#leave();
    });
    child.on("error", () => {});
    await once(child, "spawn");
  }

  /** Resolves for any outcome, but not before a paused process continues. */
  ask(question: {
    jtis: readonly string[];
    freshness: Freshness;
    timeoutMs: number;
  }): Promise<GatewayAnswer> {
    return this.#send({ kind: "ask", ...question });
  }

  peek(jti: string, maxStalenessMs: number): Promise<GatewayAnswer> {
    return this.#send({ kind: "peek", jti, maxStalenessMs });
  }

  /** Resolves when its copy, if it has one, has recently been proven current. Throws if that takes too long. */
  async ready(): Promise<void> {
    if (!this.keepsCopy) return;
    const isReady = async () => (await this.peek(NEVER_BLACKLISTED, RECENTLY_MS)).verdicts !== undefined;
    try {
      await until(isReady, { withinMs: RECOVERY_TIMEOUT_MS, what: "its copy is proven" });
    } catch (error) {
      const why = `${(error as Error).message}: ${this.#standing} ${this.#output}`;
      throw new Error(`gateway ${this.index} has not recovered: ${why}`);
    }
  }

  /** The number of the replica that has recently sent it most, which feeds its copy. */
  async watched(): Promise<number> {
    const before = this.entrances.map(({ counts }) => counts.bytesToClient);
    // Three of the proofs required by the lowest staleness.
    await new Promise((resolve) => setTimeout(resolve, 60));
    const received = this.entrances.map(({ counts }, index) => counts.bytesToClient - (before[index] ?? 0));
    return received.indexOf(Math.max(...received));
  }

  /** Kills the process with SIGKILL, paused or not. */
  async kill(): Promise<void> {
    const child = this.#process;
    if (child === undefined) return;
    this.#leave();
    child.kill("SIGKILL");
    await once(child, "exit");
  }

  pause(): void {
    this.#process?.kill("SIGSTOP");
  }

  resume(): void {
    this.#process?.kill("SIGCONT");
  }

  /** Removes the effects of a fault on it or on its connections. */
  async heal(): Promise<void> {
    this.resume();
    await Promise.all(this.entrances.map((entrance) => entrance.heal()));
  }

  #leave(): void {
    this.#process = undefined;
    this.#former = this.counts;
    this.#latest = NOTHING;
    const at = now();
    for (const resolve of this.#pending.values()) resolve({ from: at, to: at, failure: GONE });
    this.#pending.clear();
  }

  #send(question: Question): Promise<GatewayAnswer> {
    const id = ++this.#lastId;
    const from = now();
    const child = this.#process;
    if (child?.connected !== true) {
      return Promise.resolve({ from, to: from, failure: GONE });
    }
    return new Promise((resolve) => {
      this.#pending.set(id, resolve);
      child.send({ ...question, id }, (error) => {
        if (error !== null && this.#pending.delete(id)) {
          resolve({ from, to: now(), failure: GONE });
        }
      });
    });
  }

  #receive({ id, answer, counts, standing }: GatewayReply): void {
    this.#standing = standing;
    this.#latest = counts;
    this.#pending.get(id)?.(answer);
    this.#pending.delete(id);
  }
}
