import { statSync } from "node:fs";
import { type Token, tokenProblem } from "../client/authorization.ts";
import { contentOf, type NamedFile } from "./named-file.ts";
import { UsageError } from "./usage-error.ts";

/** The token in a file, read anew for each call: a long run outlives a token. Throws a {@link UsageError} if there is none now. */
export function tokenFile(file: NamedFile): Token {
  let latest = tokenIn(file);
  // A pipe is empty once it has been read.
  if (!statSync(file.path, { throwIfNoEntry: false })?.isFile()) return latest;
  return () => {
    try {
      latest = tokenIn(file);
    } catch {
      // It is being replaced. The token before may still do; the service says so if not.
    }
    return latest;
  };
}

function tokenIn(file: NamedFile): string {
  const token = contentOf(file).toString().trim();
  const problem = tokenProblem(token);
  if (problem !== undefined) throw new UsageError(`what stands in the file of ${file.name} ${problem}`);
  return token;
}
