import type { ClientCredentials } from "../client/credentials.ts";
import { createRpcClient, type RpcClient, type RpcOptions } from "../client/rpc-client.ts";
import type { Clock } from "../time/clock.ts";
import { EXIT, exitCodeOf, explainError, type FailedCall } from "./errors.ts";
import { type CliIo, Output, type Screen } from "./io.ts";

export interface SessionSetup {
  readonly address: string;
  readonly credentials: ClientCredentials;
  /** The timeout of each call, in milliseconds. */
  readonly timeoutMs: number;
}

/** One run of a command that calls the service: its client and its output. */
export class Session {
  readonly io: CliIo;
  readonly client: RpcClient;
  /** The options of every call. */
  readonly callOptions: RpcOptions;
  readonly output: Output;
  readonly #setup: SessionSetup;
  readonly #stopReading: () => void;
  #progress: Progress | undefined;

  /** Throws a ClientError if the credentials must not be sent to the address. */
  constructor(io: CliIo, setup: SessionSetup) {
    this.io = io;
    this.#setup = setup;
    this.client = createRpcClient(setup);
    this.callOptions = { timeoutMs: setup.timeoutMs, signal: io.signal };
    this.output = new Output(io.stdout);
    // Ends a read that waits for the operator's next line.
    this.#stopReading = () => io.stdin.destroy();
    io.signal.addEventListener("abort", this.#stopReading);
  }

  /** Shows how many tokens are done. `label` and `total` are those of {@link ProgressSetup}; `printsRows`: the command prints rows meanwhile. */
  progress(
    label: string,
    { total, printsRows }: { total?: number | undefined; printsRows: boolean },
  ): Progress {
    const { stderr: screen, clock } = this.io;
    const isShown = !(printsRows && this.output.isTerminal);
    this.#progress = new Progress({ screen, clock, label, total, isShown });
    return this.#progress;
  }

  /** Prints a line on standard error. */
  note(text: string): void {
    this.#progress?.clear();
    this.io.stderr.write(`${text}\n`);
  }

  /** Prints a line on standard error if that is a terminal. */
  noteOnTerminal(text: string): void {
    if (this.io.stderr.isTTY) this.note(text);
  }

  /** Prints what `error` means. `origins`: where the operator named each token of the failed request, in order. Returns the exit code. */
  report(error: unknown, origins?: FailedCall["origins"]): number {
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

const REDRAW_MS = 100;
const NUMBER = new Intl.NumberFormat("en-US");

interface ProgressSetup {
  readonly screen: Screen;
  readonly clock: Clock;
  /** Past tense, lower case: what was done to the tokens counted. */
  readonly label: string;
  /** How many there are; absent if unknown. */
  readonly total?: number | undefined;
  /** False if rows on the same terminal already show the progress. */
  readonly isShown: boolean;
}

/** One line that is updated in place. Draws nothing if `screen` is not a terminal. */
class Progress {
  readonly #setup: ProgressSetup;
  readonly #start: number;
  #drawnAt = Number.NEGATIVE_INFINITY;
  #count = 0;

  constructor(setup: ProgressSetup) {
    this.#setup = setup;
    this.#start = setup.clock.monotonic();
  }

  add(count: number): void {
    this.#count += count;
    const { screen, clock, label, total, isShown } = this.#setup;
    const now = clock.monotonic();
    if (!isShown || !screen.isTTY || now - this.#drawnAt < REDRAW_MS) return;
    this.#drawnAt = now;
    const done = NUMBER.format(this.#count) + (total === undefined ? "" : ` of ${NUMBER.format(total)}`);
    const seconds = (now - this.#start) / 1000;
    const rate = seconds < 0.5 ? "" : `, ${NUMBER.format(Math.round(this.#count / seconds))}/s`;
    screen.write(`\r\x1b[2K${done} ${label}${rate}`);
  }

  /** Removes the line, so that other output can be written. */
  clear(): void {
    if (this.#drawnAt === Number.NEGATIVE_INFINITY) return;
    this.#drawnAt = Number.NEGATIVE_INFINITY;
    this.#setup.screen.write("\r\x1b[2K");
  }
}
