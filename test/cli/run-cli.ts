import { Readable, Writable } from "node:stream";
import type { CliIo } from "../../src/cli/io.ts";
import { run } from "../../src/cli/program.ts";
import { FakeClock } from "../support/fake-clock.ts";

/** 2030-01-01T00:00:00Z, the time of every command in the tests. */
export const NOW = Date.UTC(2030, 0, 1);

export interface CliSetup {
  readonly stdin?: string | Uint8Array | Readable;
  readonly io?: Partial<CliIo>;
  /** Which of the streams are terminals. */
  readonly terminals?: readonly ("stdout" | "stderr")[];
}

export interface CliResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs one command as `main.ts` does, and collects its output. */
export async function runCli(
  argv: readonly string[],
  { stdin = "", io, terminals = [] }: CliSetup = {},
): Promise<CliResult> {
  const printed = { stdout: "", stderr: "" };
  const screen = (name: "stdout" | "stderr") =>
    Object.assign(
      new Writable({
        decodeStrings: false,
        write(text: string, _, done) {
          printed[name] += text;
          done();
        },
      }),
      { isTTY: terminals.includes(name) },
    );
  const exitCode = await run(argv, {
    stdin: stdin instanceof Readable ? stdin : Readable.from([Buffer.from(stdin)]),
    stdout: screen("stdout"),
    stderr: screen("stderr"),
    env: {},
    signal: new AbortController().signal,
    clock: new FakeClock(NOW),
    version: "1.2.3",
    serve: () => Promise.resolve(0),
    migrate: () => Promise.resolve(0),
    ...io,
  });
  return { exitCode, ...printed };
}
