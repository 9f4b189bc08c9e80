import { readFileSync, statSync } from "node:fs";
import { type Token, tokenProblem } from "../client/authorization.ts";
import { UsageError } from "./usage-error.ts";

/** A file that the operator names. */
export interface NamedFile {
  /** The option or variable that names the file: messages show this, and neither the path nor the content. */
  readonly name: string;
  readonly path: string;
}

export function contentOf({ name, path }: NamedFile): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new UsageError(`the file of ${name} cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
}

/** The token in a file, read again for each call because a long run outlives a token. Throws a {@link UsageError} if there is none now. */
export function tokenFile(file: NamedFile): Token {
  let latest = tokenIn(file);
  // A pipe is empty after it has been read once.
  if (!statSync(file.path, { throwIfNoEntry: false })?.isFile()) return latest;
  return () => {
    try {
      latest = tokenIn(file);
    } catch {
      // The file is being replaced. The previous token may still be valid; otherwise the service rejects it.
    }
    return latest;
  };
}

function tokenIn(file: NamedFile): string {
  const token = contentOf(file).toString().trim();
  const problem = tokenProblem(token);
  if (problem !== undefined) throw new UsageError(`the content of the file of ${file.name} ${problem}`);
  return token;
}
