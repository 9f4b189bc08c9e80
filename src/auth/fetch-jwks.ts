import { readFile } from "node:fs/promises";
import type { JwksSource } from "./jwks-source.ts";

/** Timeout of the download of a key set, and its maximum size. */
export const KEYS_TIMEOUT_MS = 5000;
export const MAX_KEYS_BYTES = 1024 * 1024;

/** A key set could not be fetched. `message` contains no part of the URL, the path or the content, since these may be secret. */
export class JwksError extends Error {
  override readonly name = "JwksError";
}

/** Fetches the text of a key set. Throws a JwksError. */
export async function fetchJwks(source: JwksSource): Promise<string> {
  return decode(await (source.kind === "url" ? download(source.url) : read(source.path)));
}

/** Decodes UTF-8, ignoring a byte order mark (RFC 8259, section 8.1). */
function decode(bytes: Buffer): string {
  const mark = bytes.length < 2 ? 0 : bytes.readUInt16BE(0);
  if (mark === 0xfffe || mark === 0xfeff) throw new JwksError("the key set is UTF-16, and must be UTF-8");
  return new TextDecoder().decode(bytes);
}

async function download(url: string): Promise<Buffer> {
  try {
    const response = await fetch(url, {
      // A redirect would move trust to another address, which is an operator's decision.
      redirect: "manual",
      headers: { accept: "application/jwk-set+json, application/json" },
      signal: AbortSignal.timeout(KEYS_TIMEOUT_MS),
    });
    if (!response.ok) {
      await response.body?.cancel();
      throw new JwksError(
        `the response was HTTP ${response.status}${isRedirect(response) ? REDIRECT_HINT : ""}`,
      );
    }
    return await readBounded(response);
  } catch (error) {
    throw error instanceof JwksError ? error : new JwksError(`there was no response (${codeOf(error)})`);
  }
}

const REDIRECT_HINT = ": redirects are not followed: configure the address of the key set itself";

function isRedirect({ status }: Response): boolean {
  return [301, 302, 303, 307, 308].includes(status);
}

async function readBounded(response: Response): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length;
    if (bytes > MAX_KEYS_BYTES) throw new JwksError(`the response is longer than ${MAX_KEYS_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

async function read(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    throw new JwksError(`the file cannot be read (${codeOf(error)})`);
  }
}

/** The code of a system or library error, such as ECONNREFUSED, or else the error's name. */
function codeOf(error: unknown): string {
  const { cause } = error as { cause?: unknown };
  const codes = [error, cause].map((thrown) => (thrown as { code?: unknown } | undefined)?.code);
  return String(codes.find((code) => typeof code === "string") ?? (error as Error).name);
}
