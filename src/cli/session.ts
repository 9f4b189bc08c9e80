import type { ClientCredentials } from "../client/credentials.ts";
import { createRpcClient, type RpcClient } from "../client/rpc-client.ts";
import type { CallOptions } from "../client/unary-call.ts";
import { EXIT, exitCodeOf } from "./exit-code.ts";
import { explainError } from "./explain-error.ts";
import type { CliIo } from "./io.ts";
import { Output } from "./output.ts";
import { Progress } from "./progress.ts";

export interface SessionSetup {
  readonly address: string;
  readonly credentials: ClientCredentials;
  readonly timeoutMs: number;
}

/** One run of a command that calls the service: its connection and its output. */
export class Session {
  readonly io: CliIo;
  readonly client: RpcClient;
  readonly call: CallOptions;
  readonly output: Output;
  readonly #setup: SessionSetup;
  readonly #stopReading: () => void;
  #progress: Progress | undefined;

  /** Throws a ClientError if the credentials must not be sent to the address. */
  constructor(io: CliIo, setup: SessionSetup) {
    this.io = io;
    this.#setup = setup;
    this.client = createRpcClient(setup);
    this.call = { timeoutMs: setup.timeoutMs, signal: io.signal };
    this.output = new Output(io.stdout);
    // Ends a read that waits for the operator's next line.
    this.#stopReading = () => io.stdin.destroy();
    io.signal.addEventListener("abort", this.#stopReading);
  }

  progress(label: string, { total, rows }: { total?: number | undefined; rows: boolean }): Progress {
    const { stderr: screen, clock } = this.io;
    const wanted = !(rows && this.output.isTerminal);
    this.#progress = new Progress({ screen, clock, label, total, wanted });
    return this.#progress;
  }

  /** A line for the operator, on standard error. */
  note(text: string): void {
    this.#progress?.clear();
    this.io.stderr.write(`${text}\n`);
  }

  /** A line that is printed only if standard error is a terminal. */
  remark(text: string): void {
    if (this.io.stderr.isTTY) this.note(text);
  }

  /** Reports `error` to the operator. Returns the exit code. */
  fail(error: unknown, origins?: readonly string[]): number {
    if (this.io.signal.aborted) {
      this.note("interrupted");
      return EXIT.interrupted;
    }
    const lines = explainError(error, { ...this.#setup, ...(origins && { origins }) });
    this.note(`error: ${lines.join("\n  ")}`);
    return exitCodeOf(error);
  }

  close(): void {
    this.#progress?.clear();
    this.io.signal.removeEventListener("abort", this.#stopReading);
    this.client.close();
    this.io.stdin.destroy();
  }
}
