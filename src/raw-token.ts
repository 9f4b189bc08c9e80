import { MAX_JWT_BYTES } from "./limits.ts";

/** `{"alg":0}` in base64url, without padding: no header is shorter. */
const SHORTEST_HEADER = 12;

const UUID_LENGTH = 36;
const HYPHEN = 0x2d;

/**
 * What people paste along with a token: white space, quotes, the header's name and the scheme, also those of frameworks, `%20` for a space, the name
 * that a token has in a response, a form or a cookie.
 */
const BEFORE_TOKEN =
  /^\W*(?:authorization\W+)?(?:(?:bearer|dpop|jwt|(?:(?:access|refresh|id)[-_]?)?token)(?:%20|\W)*)*/i;

/** What may be a token in the middle of a text: anything longer or shorter would not decode. */
const WITHIN_TEXT = /(?<![A-Za-z0-9_])[A-Za-z0-9_-]{12,}={0,2}\.[A-Za-z0-9._=-]*/g;

/** The bytes, a character each, before anything in an object of JSON: a byte-order mark, which decoders drop, and white space. */
const OBJECT = /^(?:\xef\xbb\xbf)?[\t\n\r ]*\{/;

/**
 * The first characters of a raw token, by their code: of base64url, those of `{`, of the white space that JSON allows and of a byte-order mark; of what
 * is passed over before it, no word character, or the first letter of a word.
 */
const MAY_BEGIN = Uint8Array.from({ length: 128 }, (_, code) =>
  /[eICD7aAbBdDijJrRtT]|\W/.test(String.fromCharCode(code)) ? 1 : 0,
);

const UTF8 = new TextDecoder("utf-8", { fatal: true });

/**
 * Whether `text` is itself a JWT, signed, encrypted or neither, with or without `Bearer` before it: a first segment that decodes to a
 * JSON object with `alg`, then a dot. Such text is never a jti: who sends it means the token's `jti` claim, and an entry for the raw
 * token would revoke nothing. False for any other text, such as "eyJ.x".
 *
 * Called for every jti that is checked: most texts are told by their first character, and nearly all others by having no dot.
 */
export function isRawToken(text: string): boolean {
  // A UUID. There `-` would stand for a byte from 0xF8 on, which UTF-8 never has.
  if (text.length === UUID_LENGTH && text.charCodeAt(8) === HYPHEN) return false;
  if (MAY_BEGIN[text.charCodeAt(0)] === 0) return false;
  const end = text.indexOf(".");
  return end >= SHORTEST_HEADER && end <= MAX_JWT_BYTES && isHeader(text.slice(0, end));
}

/** A function of its own, which lets the other one be compiled into its callers. */
function isHeader(text: string): boolean {
  // Node's decoder passes over line breaks, padding and whatever else is not base64, as decoders of tokens may.
  const bytes = Buffer.from(text.replace(BEFORE_TOKEN, ""), "base64url");
  if (!OBJECT.test(bytes.toString("latin1"))) return false;
  try {
    return Object.hasOwn(JSON.parse(UTF8.decode(bytes)) as object, "alg");
  } catch {
    return false;
  }
}

/** `text` for people to see, with what stands for raw tokens in the place of all that are in it. */
export function withoutRawTokens(text: string): string {
  const shown = text.replace(WITHIN_TEXT, (word) =>
    isRawToken(word) ? `${/^-*/.exec(word)}${RAW_TOKEN}` : word,
  );
  // One that is written as no other text is, such as over several lines.
  return isRawToken(shown) ? RAW_TOKEN : shown;
}

const RAW_TOKEN = "(a raw token)";
