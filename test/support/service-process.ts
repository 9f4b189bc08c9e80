import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createRpcClient, type RpcClient } from "../../src/client/rpc-client.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
let built = false;

/** What is shipped is what is tested: compiled anew once a run, which takes a fraction of a second. */
export function build(): void {
  if (!built) execFileSync(join(ROOT, "scripts/build.sh"));
  built = true;
}

function builtCommand(): string {
  build();
  return join(ROOT, "dist/main.js");
}

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandProcessOptions {
  /** The `main.js` of another build; this one's unless given. */
  readonly main?: string | undefined;
  /** Where its output goes: to be read by this process, to a pipe of this process's that nobody reads, or to a descriptor. */
  readonly stdout?: "read" | "unread" | number;
  readonly stderr?: "read" | "unread" | number;
  /** How many descriptors it may have open; as many as this process unless given. */
  readonly descriptors?: number;
  /** Options of Node.js itself. */
  readonly nodeOptions?: readonly string[];
}

/** The `token-blacklist` command in a process of its own, with only these variables of the service's set. */
export class CommandProcess {
  readonly #child: ChildProcess;
  readonly #output = { stdout: "", stderr: "" };
  readonly ended: Promise<Ended>;
  #onLine: (() => void) | undefined;

  constructor(
    args: readonly string[],
    env: Readonly<Record<string, string>>,
    {
      main = builtCommand(),
      stdout = "read",
      stderr = "read",
      descriptors,
      nodeOptions = [],
    }: CommandProcessOptions = {},
  ) {
    const outputs = { stdout, stderr };
    const [out, err] = [stdout, stderr].map((to) => (typeof to === "number" ? to : "pipe"));
    const command = [process.execPath, ...nodeOptions, main, ...args];
    const limited = descriptors === undefined ? [] : ["sh", "-c", `ulimit -n ${descriptors}; exec "$0" "$@"`];
    const [program = "", ...rest] = [...limited, ...command];
    this.#child = spawn(program, rest, {
      env: { PATH: process.env.PATH, ...env },
      stdio: ["ignore", out, err],
    });
    for (const name of ["stdout", "stderr"] as const) {
      if (outputs[name] !== "read") continue;
      this.#child[name]?.setEncoding("utf8").on("data", (text: string) => {
        this.#output[name] += text;
        this.#onLine?.();
      });
    }
    this.ended = new Promise((resolve) => {
      // A pipe that is not read is never closed.
      const isRead = stdout !== "unread" && stderr !== "unread";
      this.#child.once(isRead ? "close" : "exit", (code, signal) =>
        resolve({ code, signal, ...this.#output }),
      );
    });
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  /** The first JSON line with this `msg`. Throws when the process ends without having written it. */
  async line(msg: string): Promise<Record<string, unknown>> {
    const seen = new Promise<Record<string, unknown>>((resolve) => {
      this.#onLine = () => {
        const lines = this.#output.stdout.split("\n").slice(0, -1);
        const found = lines.map((line) => JSON.parse(line)).find((record) => record.msg === msg);
        if (found === undefined) return;
        this.#onLine = undefined;
        resolve(found);
      };
      this.#onLine();
    });
    const gone = this.ended.then(({ code, stderr }) => {
      throw new Error(`ended with ${code} before it wrote "${msg}": ${stderr}`);
    });
    return Promise.race([seen, gone]);
  }

  async signal(signal: NodeJS.Signals): Promise<void> {
    this.#child.kill(signal);
  }

  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.ended;
  }
}

export interface ServiceProcess {
  readonly process: CommandProcess;
  readonly client: RpcClient;
  /** `host:port` for gRPC. */
  readonly address: string;
  /** `host:port` for probes and metrics. */
  readonly adminAddress: string;
  /** kill -9, and the client with it. */
  kill(): Promise<void>;
}

/** `token-blacklist serve` on free ports, once it listens. */
export async function serveProcess(
  env: Readonly<Record<string, string>>,
  options?: CommandProcessOptions,
): Promise<ServiceProcess> {
  const addresses = { LISTEN_ADDRESS: "127.0.0.1:0", ADMIN_ADDRESS: "127.0.0.1:0" };
  const process = new CommandProcess(["serve"], { ...addresses, ...env }, options);
  const listening = await process.line("listening");
  const address = String(listening.address);
  const client = createRpcClient({ address });
  return {
    process,
    client,
    address,
    adminAddress: String(listening.admin),
    async kill() {
      await process.kill();
      client.close();
    },
  };
}
