import type { Readable } from "node:stream";
import { readLines } from "./lines.ts";
import { UsageError } from "./usage-error.ts";

/** The one token on standard input. No message repeats any of it. */
export async function readJwt(stdin: Readable): Promise<string> {
  const tokens: string[] = [];
  for await (const lines of readLines(stdin)) {
    tokens.push(...lines.map(({ text }) => text.trim()).filter((text) => text !== ""));
    if (tokens.length > 1)
      throw new UsageError("standard input holds more than one line: --jwt takes one token");
  }
  const [token] = tokens;
  if (token === undefined) throw new UsageError("standard input holds no token");
  return token;
}
