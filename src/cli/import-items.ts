import { createHash, type Hash } from "node:crypto";
import type { Readable } from "node:stream";
import { type ImportedToken, parseImportLine } from "./import-line.ts";
import { scanLines } from "./lines.ts";
import { UsageError } from "./usage-error.ts";

/** A line of the input: the token it names, or what is wrong with it. */
export type ImportItem = { readonly line: number; readonly text: string } & (
  | { readonly token: ImportedToken }
  | { readonly problem: string }
);

export type TokenItem = Extract<ImportItem, { token: unknown }>;

/** The lines of `stream` as they arrive, without blank ones. */
export async function* importItems(
  stream: Readable,
  options: { ignoreUnknown: boolean },
): AsyncGenerator<ImportItem[]> {
  for await (const lines of scanLines(stream)) {
    yield lines.map((line) =>
      "problem" in line
        ? { line: line.number, text: "", problem: line.problem }
        : parsed(line.number, line.text, options),
    );
  }
}

function parsed(line: number, text: string, options: { ignoreUnknown: boolean }): ImportItem {
  try {
    return { line, text, token: parseImportLine(text, options) };
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    return { line, text, problem: error.message };
  }
}

/** The digest of all lines so far, which identifies the input. */
export class InputDigest {
  readonly #hash: Hash = createHash("sha256");

  add(items: readonly ImportItem[]): void {
    this.#hash.update(items.map(({ line, text }) => `${line} ${text}\n`).join(""));
  }

  /** The digest of everything added so far. */
  get value(): string {
    return this.#hash.copy().digest("base64url");
  }
}
