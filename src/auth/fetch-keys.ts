import { readFile } from "node:fs/promises";
import type { JSONWebKeySet } from "jose";
import { KEYS_TIMEOUT_MS, MAX_KEYS_BYTES } from "../limits.ts";
import type { KeySource } from "./key-source.ts";

/** Why a key set cannot be had. `message` holds nothing of the URL, the file or what was read: they may be secret. */
export class KeysError extends Error {
  override readonly name = "KeysError";
}

/** The text of a key set. Throws a KeysError. */
export function fetchKeys(source: KeySource): Promise<string> {
  return source.kind === "url" ? download(source.url) : read(source.path);
}

/** Throws a KeysError unless `text` is a JSON Web Key Set. */
export function parseKeys(text: string): JSONWebKeySet {
  let keys: unknown;
  try {
    keys = (JSON.parse(text) as { keys?: unknown } | null)?.keys;
  } catch {
    throw new KeysError("what was read is not JSON");
  }
  if (!Array.isArray(keys)) throw new KeysError("what was read is not a JSON Web Key Set");
  return { keys };
}

async function download(url: string): Promise<string> {
  try {
    const response = await fetch(url, {
      // A key set that moves is a change of trust: an operator decides on that.
      redirect: "manual",
      headers: { accept: "application/jwk-set+json, application/json" },
      signal: AbortSignal.timeout(KEYS_TIMEOUT_MS),
    });
    if (!response.ok) {
      await response.body?.cancel();
      throw new KeysError(`the answer was HTTP ${response.status}`);
    }
    return await bounded(response);
  } catch (error) {
    throw error instanceof KeysError ? error : new KeysError(`nothing was answered (${codeOf(error)})`);
  }
}

async function bounded(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length;
    if (bytes > MAX_KEYS_BYTES) throw new KeysError(`the answer is longer than ${MAX_KEYS_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

async function read(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw new KeysError(`the file cannot be read (${codeOf(error)})`);
  }
}

/** A system's or a library's code, such as ECONNREFUSED, or else the error's name. */
function codeOf(error: unknown): string {
  const { cause } = error as { cause?: unknown };
  const codes = [error, cause].map((one) => (one as { code?: unknown } | undefined)?.code);
  return String(codes.find((code) => typeof code === "string") ?? (error as Error).name);
}
