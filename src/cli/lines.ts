import type { Readable } from "node:stream";
import { TextDecoder } from "node:util";
import { UsageError } from "./errors.ts";

export interface Line {
  /** Counted from 1. */
  readonly number: number;
  /** The line without its line ending; otherwise exactly what was read. */
  readonly text: string;
}

/** An invalid line. `problem` quotes nothing of it. */
export interface BadLine {
  readonly number: number;
  readonly problem: string;
}

// More than the longest valid line: a jti and a reason at their limits, with every byte escaped.
const MAX_LINE_BYTES = 64 * 1024;
const NEWLINE = 0x0a;
const RETURN = 0x0d;

/**
 * The lines of `stream`, as many at a time as have arrived, without empty lines. Throws a UsageError for a line that is too long or not
 * UTF-8, or if the input begins with a byte order mark.
 */
export async function* readLines(stream: Readable): AsyncGenerator<Line[]> {
  for await (const lines of scanLines(stream)) yield lines.map(expectValid);
}

function expectValid(line: Line | BadLine): Line {
  if ("problem" in line) throw new UsageError(`line ${line.number}: ${line.problem}`);
  return line;
}

/** {@link readLines}, but yields an invalid line as a {@link BadLine} and continues. Buffers at most the maximum length of a line. */
export async function* scanLines(stream: Readable): AsyncGenerator<(Line | BadLine)[]> {
  const scanner = new LineScanner();
  for await (const chunk of stream) {
    const lines = scanner.take(typeof chunk === "string" ? Buffer.from(chunk) : (chunk as Buffer));
    if (lines.length > 0) yield lines;
  }
  const lines = scanner.end();
  if (lines.length > 0) yield lines;
}

// The decoder throws for invalid bytes and keeps a byte order mark: with bytes replaced or the mark dropped, the text would be another jti.
const UTF_8 = { fatal: true, ignoreBOM: true } as const;

class LineScanner {
  readonly #decoder = new TextDecoder("utf-8", UTF_8);
  #unfinished: Buffer = Buffer.alloc(0);
  #number = 1;
  /** Whether the current line is too long: it has been reported, and its rest is skipped. */
  #skipping = false;

  take(chunk: Buffer): (Line | BadLine)[] {
    const lines: (Line | BadLine)[] = [];
    const bytes = this.#unfinished.length === 0 ? chunk : Buffer.concat([this.#unfinished, chunk]);
    let start = 0;
    for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, start)) {
      this.#push(lines, bytes.subarray(start, end));
      this.#number += 1;
      this.#skipping = false;
      start = end + 1;
    }
    this.#unfinished = bytes.subarray(start);
    // One byte above the limit may be the carriage return of the line ending.
    if (this.#unfinished.length > MAX_LINE_BYTES + 1) this.#push(lines, this.#unfinished);
    if (this.#skipping) this.#unfinished = Buffer.alloc(0);
    return lines;
  }

  end(): (Line | BadLine)[] {
    const lines: (Line | BadLine)[] = [];
    this.#push(lines, this.#unfinished);
    return lines;
  }

  #push(lines: (Line | BadLine)[], bytes: Buffer): void {
    if (this.#skipping) return;
    const number = this.#number;
    const end = bytes.at(-1) === RETURN ? bytes.length - 1 : bytes.length;
    if (end === 0) return;
    if (end > MAX_LINE_BYTES) {
      this.#skipping = true;
      lines.push({ number, problem: "is longer than any token" });
      return;
    }
    const text = this.#decode(bytes.subarray(0, end));
    if (text === undefined) lines.push({ number, problem: "is not UTF-8" });
    else if (number === 1 && text.startsWith("\ufeff")) {
      lines.push({ number, problem: "starts with a byte order mark: save the input as UTF-8 without one" });
    } else lines.push({ number, text });
  }

  #decode(bytes: Buffer): string | undefined {
    try {
      return this.#decoder.decode(bytes);
    } catch {
      return undefined;
    }
  }
}
