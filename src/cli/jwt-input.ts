import { createReadStream } from "node:fs";
import type { Readable } from "node:stream";
import { isRawToken } from "../raw-token.ts";
import { UsageError } from "./errors.ts";
import { readLines } from "./lines.ts";

/** The beginning of an authorization header, which is often copied together with the token. */
const SCHEME = /^(?:authorization:\s*)?bearer\s+/i;

/**
 * Reads the token from `source`, the value of `--jwt`: a file that contains one token, or `-` for standard input. White space around the
 * token and `Bearer` before it are removed. Throws a UsageError that quotes neither the token nor the path, which may be a token by mistake.
 * Other arguments are refused, because the jti is taken from the token.
 */
export async function readJwt(
  source: string,
  { stdin, otherArguments }: { readonly stdin: Readable; readonly otherArguments: readonly string[] },
): Promise<string> {
  if (isRawToken(source)) {
    throw new UsageError(
      "--jwt takes the name of a file that contains the token, or - for standard input: a token on the command line is visible to all users of this machine",
    );
  }
  if (otherArguments.length > 0)
    throw new UsageError("--jwt takes the jti from the token: omit the jti arguments");
  if (source === "-") return onlyToken(stdin, "standard input");
  const file = createReadStream(source);
  try {
    return await onlyToken(file, "the file of --jwt");
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(
      `the file of --jwt cannot be read (${(error as NodeJS.ErrnoException).code}): give a file that contains the token, or - for standard input`,
    );
  } finally {
    file.destroy();
  }
}

async function onlyToken(stream: Readable, origin: string): Promise<string> {
  const tokens: string[] = [];
  for await (const lines of readLines(stream)) {
    tokens.push(...lines.map(({ text }) => text.trim()).filter((text) => text !== ""));
    if (tokens.length > 1)
      throw new UsageError(`${origin} contains more than one line: --jwt takes one token`);
  }
  const token = tokens[0]?.replace(SCHEME, "");
  if (token === undefined) throw new UsageError(`${origin} contains no token`);
  return token;
}
