import type { Readable } from "node:stream";
import { TextDecoder } from "node:util";
import { UsageError } from "./usage-error.ts";

export interface Line {
  /** Counted from 1. */
  readonly number: number;
  /** Without its line ending; otherwise exactly what was read. */
  readonly text: string;
}

/** A line that is none. `problem` repeats nothing of it. */
export interface BadLine {
  readonly number: number;
  readonly problem: string;
}

// The longest line worth reading: a jti and a reason at their limits, every byte escaped, and room to spare.
const MAX_LINE_BYTES = 64 * 1024;
const NEWLINE = 0x0a;
const RETURN = 0x0d;

/** The lines of `stream`, as many at a time as have arrived; blank ones are left out. Refuses what is not UTF-8. */
export async function* readLines(stream: Readable): AsyncGenerator<Line[]> {
  for await (const lines of scanLines(stream)) yield lines.map(whole);
}

function whole(line: Line | BadLine): Line {
  if ("problem" in line) throw new UsageError(`line ${line.number}: ${line.problem}`);
  return line;
}

/** The same, going on after a line that is too long or not UTF-8. Keeps no more of a line than it may be long. */
export async function* scanLines(stream: Readable): AsyncGenerator<(Line | BadLine)[]> {
  const scanner = new Scanner();
  for await (const chunk of stream) {
    const lines = scanner.take(typeof chunk === "string" ? Buffer.from(chunk) : (chunk as Buffer));
    if (lines.length > 0) yield lines;
  }
  const lines = scanner.end();
  if (lines.length > 0) yield lines;
}

// Neither may bytes that are not UTF-8 turn into U+FFFD, nor may a leading mark get lost: both would name another token.
const UTF_8 = { fatal: true, ignoreBOM: true } as const;

class Scanner {
  readonly #decoder = new TextDecoder("utf-8", UTF_8);
  #rest: Buffer = Buffer.alloc(0);
  #number = 1;
  /** The line under way is too long, and that has been said. */
  #skipping = false;

  take(chunk: Buffer): (Line | BadLine)[] {
    const lines: (Line | BadLine)[] = [];
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let start = 0;
    for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, start)) {
      this.#push(lines, bytes.subarray(start, end));
      this.#number += 1;
      this.#skipping = false;
      start = end + 1;
    }
    this.#rest = bytes.subarray(start);
    if (this.#rest.length > MAX_LINE_BYTES) this.#push(lines, this.#rest);
    if (this.#skipping) this.#rest = Buffer.alloc(0);
    return lines;
  }

  end(): (Line | BadLine)[] {
    const lines: (Line | BadLine)[] = [];
    this.#push(lines, this.#rest);
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
      lines.push({ number, problem: "starts with a byte order mark, save the input as UTF-8 without one" });
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
