import type { Readable, Writable } from "node:stream";
import type { MigrateAction } from "../start/migrate.ts";
import type { Clock } from "../time/clock.ts";

/** A stream that may be a terminal, such as `process.stdout` and `process.stderr`. */
export type Screen = Writable & { readonly isTTY?: boolean; readonly columns?: number };

/** Everything that the commands take from their process. */
export interface CliIo {
  /** Commands destroy it when they end, because an open pipe would keep the process alive. */
  readonly stdin: Readable;
  readonly stdout: Screen;
  readonly stderr: Screen;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Aborted by Ctrl-C: calls are cancelled, and the exit code is 130. `serve` and `migrate` ignore it. */
  readonly signal: AbortSignal;
  readonly clock: Clock;
  /** The text printed by `--version`. */
  readonly version: string;
  /** Runs the service until it is stopped. Resolves to the exit code. */
  serve(): Promise<number>;
  /** Resolves to the exit code. */
  migrate(action: MigrateAction): Promise<number>;
}

/** The environment of a command, and how it reports its exit code. */
export interface CommandContext {
  readonly io: CliIo;
  /** Called once, when the command has ended. */
  exit(code: number): void;
}

/** Standard output. Its reader may close it early (`| head`); later output is then dropped silently. */
export class Output {
  readonly isTerminal: boolean;
  /** The reader has closed the output. */
  isClosed = false;
  readonly #stream: Screen;

  constructor(stream: Screen) {
    this.#stream = stream;
    this.isTerminal = stream.isTTY === true;
  }

  /** Resolves when `text` has been written to the stream, so that a slow reader slows the command down. */
  write(text: string): Promise<void> {
    if (this.isClosed || text === "") return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#stream.write(text, (error) => {
        if (error && (error as NodeJS.ErrnoException).code !== "EPIPE") return reject(error);
        this.isClosed = error != null;
        resolve();
      });
    });
  }
}
