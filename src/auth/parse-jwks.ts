import type { JWK } from "jose";
import { classifyKey } from "./classify-key.ts";
import { JwksError } from "./fetch-jwks.ts";

/** Maximum number of keys in a set: a token that names no key is tried with each. Providers publish fewer than ten. */
export const MAX_KEYS = 1000;

/** A parsed key set, without keys for other purposes than signatures. */
export interface ParsedJwks {
  /** At least one key. */
  readonly usable: readonly JWK[];
  /** The unusable keys. `position` counts from 1. `problem` is worded to follow "the key", and holds nothing of what was read. */
  readonly unusable: readonly {
    readonly position: number;
    readonly kid: string | undefined;
    readonly problem: string;
  }[];
}

/** Maximum number of unusable keys that a message lists. */
const MAX_LISTED = 5;

/**
 * Parses the JSON of a key set, ignoring keys for other purposes than signatures. Throws a JwksError if the text is not a key set or has no usable key, so that
 * it cannot replace a good key set.
 */
export function parseJwks(text: string): ParsedJwks {
  const { keys } = parseSet(text);
  if (keys.length === 0) throw new JwksError("the key set is empty");
  if (keys.length > MAX_KEYS) throw new JwksError(`the key set has more than ${MAX_KEYS} keys`);
  const usable: JWK[] = [];
  const unusable: ParsedJwks["unusable"][number][] = [];
  for (const [index, value] of keys.entries()) {
    const classified = classifyKey(value);
    if (classified === "other-purpose") continue;
    if ("key" in classified) usable.push(classified.key);
    else {
      const { kid } = (value ?? {}) as { kid?: unknown };
      const { problem } = classified;
      unusable.push({ position: index + 1, kid: typeof kid === "string" ? kid : undefined, problem });
    }
  }
  if (usable.length === 0) {
    const why = unusable.length === 0 ? "no key is for signatures" : listProblems(unusable);
    throw new JwksError(`the key set has no usable key: ${why}`);
  }
  return { usable, unusable };
}

/** The problems of unusable keys, in one line. */
export function listProblems(unusable: ParsedJwks["unusable"]): string {
  const texts = unusable.slice(0, MAX_LISTED).map(({ position, problem }) => `key ${position} ${problem}`);
  if (unusable.length > MAX_LISTED) texts.push(`${unusable.length - MAX_LISTED} more cannot be used`);
  return texts.join("; ");
}

function parseSet(text: string): { keys: readonly unknown[] } {
  let read: unknown;
  try {
    read = JSON.parse(text);
  } catch {
    throw new JwksError(`the key set is not JSON${insteadOfJson(text)}`);
  }
  const keys = (read as { keys?: unknown } | null)?.keys;
  if (!Array.isArray(keys)) throw new JwksError(`the content is not a JSON Web Key Set${insteadOfSet(read)}`);
  return { keys };
}

/** A hint for what was given instead of JSON, without repeating any of it. */
function insteadOfJson(text: string): string {
  const start = text.trimStart();
  if (start === "") return ": it is empty";
  if (start.startsWith("-----BEGIN")) return ": it is PEM: convert it to a JSON Web Key Set";
  if (start.startsWith("<")) return ": it is a page of HTML or XML";
  if (start.startsWith("\u001F\uFFFD")) return ": it is compressed";
  if (text.includes("\0")) return ": it is binary, or in an encoding other than UTF-8";
  return "";
}

function insteadOfSet(read: unknown): string {
  if (Array.isArray(read)) return ': it is a list: wrap it in an object, {"keys": [...]}';
  if (typeof read !== "object" || read === null) return "";
  if ("jwks_uri" in read) return ": it is the provider's discovery document: use its jwks_uri";
  if ("kty" in read) return ': it is a single key: wrap it in a set, {"keys": [...]}';
  const isPem = (value: unknown) => typeof value === "string" && value.startsWith("-----BEGIN");
  if (Object.values(read).some(isPem)) return ": it contains certificates or keys in PEM";
  return "";
}
