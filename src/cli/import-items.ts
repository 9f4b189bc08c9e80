import { createHash, type Hash } from "node:crypto";
import type { Readable } from "node:stream";
import { storedJtiProblem, textProblem } from "../entry.ts";
import { MAX_REASON_BYTES } from "../limits.ts";
import { likelyName } from "../text/nearest-word.ts";
import { escapeLine } from "../text/terminal-text.ts";
import { UsageError } from "./errors.ts";
import { scanLines } from "./lines.ts";
import { parseAbsoluteTime, type TimeArgument } from "./time-argument.ts";
import { OUTPUT_ONLY_FIELDS } from "./token-input.ts";

/** A line of the input: the token it names, or what is wrong with it. */
export type ImportItem = {
  /** The number of the line, counted from 1. */
  readonly line: number;
  /** The line as read; empty if it is too long, not UTF-8, or begins with a byte order mark. */
  readonly text: string;
} & ({ readonly token: ImportedToken } | { readonly problem: string });

export type TokenItem = Extract<ImportItem, { token: unknown }>;

/** The lines of `stream` as they arrive, without empty lines. */
export async function* readImportItems(
  stream: Readable,
  options: { ignoreUnknown: boolean },
): AsyncGenerator<ImportItem[]> {
  for await (const lines of scanLines(stream)) {
    yield lines.map((line) =>
      "problem" in line
        ? { line: line.number, text: "", problem: line.problem }
        : parseItem(line.number, line.text, options),
    );
  }
}

function parseItem(line: number, text: string, options: { ignoreUnknown: boolean }): ImportItem {
  try {
    return { line, text, token: parseImportLine(text, options) };
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    return { line, text, problem: error.message };
  }
}

/** A digest that identifies the input: of the numbers and texts of all lines except empty lines. */
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

/** A token named by a line of a file. */
interface ImportedToken {
  /** May be a raw token: older versions stored raw tokens as jtis, and imports still do. */
  readonly jti: string;
  readonly expiresAt: TimeArgument;
  /** Absent if the line has none. */
  readonly reason?: string;
}

const FIELDS = ["jti", "exp", "expires_at", "reason"];
const MAX_QUOTED_LENGTH = 40;

/**
 * Parses a line as `export` writes it, or a minimal line from another system: `jti` with `exp` or `expires_at`. Throws a {@link
 * UsageError} that quotes nothing but names of fields.
 */
function parseImportLine(text: string, { ignoreUnknown }: { ignoreUnknown: boolean }): ImportedToken {
  const { jti, exp, expires_at: expiresAt, reason, ...others } = parseObject(text);
  for (const name of Object.keys(others)) {
    if (ignoreUnknown || OUTPUT_ONLY_FIELDS.has(name)) continue;
    const meant = likelyName(name.slice(0, MAX_QUOTED_LENGTH), FIELDS);
    const hint = meant === undefined ? "" : `did you mean "${meant}"? If not, `;
    throw new UsageError(
      `unknown field "${quoted(name)}": ${hint}ignore unknown fields with --ignore-unknown`,
    );
  }
  if (typeof jti !== "string") throw new UsageError(`"jti" must be a string`);
  expectNoProblem("jti", storedJtiProblem(jti));
  if (exp !== undefined && expiresAt !== undefined)
    throw new UsageError(`has both "exp" and "expires_at": one is enough`);
  const expiry = exp === undefined ? timeOf("expires_at", expiresAt) : timeOf("exp", exp);
  // Another system may write null if it knows no reason.
  if (reason === undefined || reason === null || reason === "") return { jti, expiresAt: expiry };
  if (typeof reason !== "string") throw new UsageError(`"reason" must be a string`);
  expectNoProblem("reason", textProblem(reason, MAX_REASON_BYTES));
  return { jti, expiresAt: expiry, reason };
}

function parseObject(text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // Reported below: the message of JSON.parse quotes the text.
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new UsageError(`is not a JSON object such as {"jti": "...", "exp": 1900000000}`);
  return value as Record<string, unknown>;
}

function timeOf(name: string, value: unknown): TimeArgument {
  if (value === undefined) throw new UsageError(`has no "exp" or "expires_at"`);
  if (typeof value !== "string" && typeof value !== "number")
    throw new UsageError(`"${name}" must be a string or a number`);
  try {
    return parseAbsoluteTime(String(value));
  } catch (error) {
    throw new UsageError(`"${name}" ${(error as Error).message}`);
  }
}

function expectNoProblem(name: string, problem: string | undefined): void {
  if (problem !== undefined) throw new UsageError(`"${name}" ${problem}`);
}

function quoted(name: string): string {
  return escapeLine(name.length > MAX_QUOTED_LENGTH ? `${name.slice(0, MAX_QUOTED_LENGTH)}...` : name);
}
