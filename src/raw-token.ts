import { MAX_JWT_BYTES } from "./limits.ts";

/** The length of the shortest header, `{"alg":0}`, in base64url without padding. */
const SHORTEST_HEADER = 12;

const UUID_LENGTH = 36;
const HYPHEN = 0x2d;

/** Text that is often pasted before a token: quotes, the header's name, a scheme, `%20`, and names of tokens in forms or cookies. */
const BEFORE_TOKEN =
  /^\W*(?:authorization\W+)?(?:(?:bearer|dpop|jwt|(?:(?:access|refresh|id)[-_]?)?token)(?:%20|\W)*)*/i;

/** Candidates for tokens within a text. A match must not begin within a segment, since the rest of a segment does not decode. */
const WITHIN_TEXT = /(?<![A-Za-z0-9_])[A-Za-z0-9_-]{12,}={0,2}\.[A-Za-z0-9._=-]*/g;

/** The beginning of a JSON object in bytes, one character each: an optional byte order mark, which decoders drop, and white space. */
const OBJECT_START = /^(?:\xef\xbb\xbf)?[\t\n\r ]*\{/;

/**
 * The character codes with which a raw token can begin: `{`, white space or a byte order mark in base64url, or the first character of
 * {@link BEFORE_TOKEN}.
 */
const MAY_BEGIN_TOKEN = Uint8Array.from({ length: 128 }, (_, code) =>
  /[eICD7aAbBdDijJrRtT]|\W/.test(String.fromCharCode(code)) ? 1 : 0,
);

const UTF8 = new TextDecoder("utf-8", { fatal: true });

/**
 * Whether `text` is a JWT, signed, encrypted or neither, with or without `Bearer` before it: a first segment that decodes to a JSON object
 * with `alg`, then a dot. Such text is never a jti: its sender means the token's `jti` claim, and an entry for the raw token would revoke
 * nothing.
 *
 * Called for every checked jti: the first character decides most texts, and the absence of a dot nearly all others.
 */
export function isRawToken(text: string): boolean {
  // A UUID. At its position, `-` would decode to a byte of 0xF8 or above, which UTF-8 never has.
  if (text.length === UUID_LENGTH && text.charCodeAt(8) === HYPHEN) return false;
  if (MAY_BEGIN_TOKEN[text.charCodeAt(0)] === 0) return false;
  const end = text.indexOf(".");
  return end >= SHORTEST_HEADER && end <= MAX_JWT_BYTES && isHeader(text.slice(0, end));
}

/** A separate function, so that the caller is small enough to be inlined. */
function isHeader(text: string): boolean {
  // Like decoders of tokens, Node.js's decoder ignores line breaks, padding and all characters outside base64.
  const bytes = Buffer.from(text.replace(BEFORE_TOKEN, ""), "base64url");
  if (!OBJECT_START.test(bytes.toString("latin1"))) return false;
  try {
    return Object.hasOwn(JSON.parse(UTF8.decode(bytes)) as object, "alg");
  } catch {
    return false;
  }
}

/** `text` for people, with each raw token in it replaced by a placeholder. */
export function withoutRawTokens(text: string): string {
  const shown = text.replace(WITHIN_TEXT, (word) =>
    isRawToken(word) ? `${/^-*/.exec(word)}${PLACEHOLDER}` : word,
  );
  // The pattern misses some tokens, such as one over several lines.
  return isRawToken(shown) ? PLACEHOLDER : shown;
}

const PLACEHOLDER = "(a raw token)";
