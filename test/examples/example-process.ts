import { spawn } from "node:child_process";
import { once } from "node:events";
import { basename, dirname } from "node:path";
import { createInterface } from "node:readline";

/** The parts of a gateway's response that concern tokens. */
export interface Answer {
  readonly status: number;
  readonly wwwAuthenticate: string | null;
  readonly retryAfter: string | null;
  /** The body of a 200. */
  readonly body: unknown;
}

/** A script of an example's folder in a process, run as the README says. */
export class ExampleProcess {
  readonly url: string;
  readonly #child: ReturnType<typeof spawn>;

  private constructor(url: string, child: ReturnType<typeof spawn>) {
    this.url = url;
    this.#child = child;
  }

  /** Resolves once it listens on a free port. `path` is that of the script. */
  static async start(path: string, env: Readonly<Record<string, string>>): Promise<ExampleProcess> {
    const child = spawn(process.execPath, ["--import", "tsx", basename(path)], {
      cwd: dirname(path),
      env: { PATH: process.env.PATH, PORT: "0", ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let errors = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      errors += text;
    });
    for await (const line of createInterface(child.stdout)) {
      const [, url] = /^listening on (http:\S+)$/.exec(line) ?? [];
      if (url === undefined) continue;
      child.stdout.resume();
      return new ExampleProcess(url, child);
    }
    throw new Error(`${path} ended before it listened: ${errors}`);
  }

  /** `route` is a method and a path. */
  async ask(route: string, token?: string): Promise<Answer> {
    const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` };
    return this.fetch(route, headers);
  }

  async fetch(route: string, headers: Record<string, string>): Promise<Answer> {
    const [method = "", path = ""] = route.split(" ");
    const response = await fetch(`${this.url}${path}`, { method, headers });
    const text = await response.text();
    return {
      status: response.status,
      wwwAuthenticate: response.headers.get("www-authenticate"),
      retryAfter: response.headers.get("retry-after"),
      body: response.status === 200 ? JSON.parse(text) : undefined,
    };
  }

  /** Sends SIGTERM; resolves to the exit code or signal. */
  async stop(): Promise<unknown> {
    return this.#end("SIGTERM");
  }

  async kill(): Promise<void> {
    await this.#end("SIGKILL");
  }

  async #end(signal: NodeJS.Signals): Promise<unknown> {
    const { exitCode, signalCode } = this.#child;
    if (exitCode !== null || signalCode !== null) return exitCode ?? signalCode;
    this.#child.kill(signal);
    const [code, by] = await once(this.#child, "exit");
    return code ?? by;
  }
}
