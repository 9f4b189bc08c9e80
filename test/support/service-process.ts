import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createRpcClient, type RpcClient } from "../../src/client/rpc-client.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
let built = false;

/** Tests run what is shipped: compiled once per run, within a fraction of a second. */
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
  /** The `main.js` of another build; default: this one's. */
  readonly main?: string | undefined;
  /** The destination of its output: read by this process, an unread pipe of this process, or a descriptor. */
  readonly stdout?: "read" | "unread" | number;
  readonly stderr?: "read" | "unread" | number;
  /** The limit of file descriptors; default: that of this process. */
  readonly descriptors?: number;
  /** Options of Node.js. */
  readonly nodeOptions?: readonly string[];
}

/** Runs the `token-blacklist` command in a process, with only these of the service's variables. */
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
      // An unread pipe is never closed.
      const isRead = stdout !== "unread" && stderr !== "unread";
      this.#child.once(isRead ? "close" : "exit", (code, signal) =>
        resolve({ code, signal, ...this.#output }),
      );
    });
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  /** The first JSON line with this `msg`. Throws if the process ends without writing it. */
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
  /** Kills the process with SIGKILL, and closes the client. */
  kill(): Promise<void>;
}

/** Starts `token-blacklist serve` on free ports, and resolves once it listens. */
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
