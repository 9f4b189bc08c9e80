import type { Readable, Writable } from "node:stream";
import type { Clock } from "../clock.ts";

/** A stream that knows whether people are watching. `process.stdout` and `process.stderr` are such. */
export type Screen = Writable & { readonly isTTY?: boolean; readonly columns?: number };

export type MigrateAction = "up" | "status" | "check" | "unlock";

/** Everything the commands take from the process they run in. */
export interface CliIo {
  /** Destroyed once it is not read any more, or an open pipe would keep the process alive. */
  readonly stdin: Readable;
  readonly stdout: Screen;
  readonly stderr: Screen;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Aborted by Ctrl-C: calls are given up, and the exit code is 130. `serve` and `migrate` do not see it. */
  readonly signal: AbortSignal;
  readonly clock: Clock;
  /** What `--version` prints. */
  readonly version: string;
  /** Runs the service until it is told to stop. Resolves to the exit code. */
  serve(): Promise<number>;
  /** Resolves to the exit code. */
  migrate(action: MigrateAction): Promise<number>;
}

/** What a command needs to run and to tell how it ended. */
export interface CommandContext {
  readonly io: CliIo;
  /** Called once, when the command has ended. */
  exit(code: number): void;
}
