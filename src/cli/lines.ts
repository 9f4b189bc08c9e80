import type { Readable } from "node:stream";
import { TextDecoder } from "node:util";
import { UsageError } from "./usage-error.ts";

export interface Line {
  /** Counted from 1. */
  readonly number: number;
  /** Without its line ending; otherwise exactly what was read. */
  readonly text: string;
}

// The longest line worth reading: a jti and a reason at their limits, every byte escaped, and room to spare.
const MAX_LINE_BYTES = 64 * 1024;
const NEWLINE = 0x0a;
const RETURN = 0x0d;

/** The lines of `stream`, as many at a time as have arrived; blank ones are left out. Refuses what is not UTF-8. */
export async function* readLines(stream: Readable): AsyncGenerator<Line[]> {
  const decoder = new TextDecoder("utf-8", UTF_8);
  let rest: Buffer = Buffer.alloc(0);
  let number = 0;
  const split = (bytes: Buffer, isLast: boolean) => {
    const lines: Line[] = [];
    let start = 0;
    for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, start)) {
      number += 1;
      push(bytes.subarray(start, end), { number, lines, decoder });
      start = end + 1;
    }
    rest = bytes.subarray(start);
    if (isLast && rest.length > 0) push(rest, { number: number + 1, lines, decoder });
    if (rest.length > MAX_LINE_BYTES) throw new UsageError(`line ${number + 1}: is longer than any token`);
    return lines;
  };
  for await (const chunk of stream) {
    const bytes = typeof chunk === "string" ? Buffer.from(chunk) : (chunk as Buffer);
    const lines = split(rest.length === 0 ? bytes : Buffer.concat([rest, bytes]), false);
    if (lines.length > 0) yield lines;
  }
  const lines = split(rest, true);
  if (lines.length > 0) yield lines;
}

// Neither may bytes that are not UTF-8 turn into U+FFFD, nor may a leading mark get lost: both would name another token.
const UTF_8 = { fatal: true, ignoreBOM: true } as const;

interface Target {
  readonly number: number;
  readonly lines: Line[];
  readonly decoder: TextDecoder;
}

function push(bytes: Buffer, { number, lines, decoder }: Target): void {
  const end = bytes.at(-1) === RETURN ? bytes.length - 1 : bytes.length;
  if (end === 0) return;
  const text = decode(bytes.subarray(0, end), number, decoder);
  if (number === 1 && text.startsWith("\ufeff")) {
    throw new UsageError("line 1: starts with a byte order mark, save the input as UTF-8 without one");
  }
  lines.push({ number, text });
}

function decode(bytes: Buffer, number: number, decoder: TextDecoder): string {
  try {
    return decoder.decode(bytes);
  } catch {
    throw new UsageError(`line ${number}: is not UTF-8`);
  }
}
