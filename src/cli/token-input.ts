import { Readable } from "node:stream";
import { storedJtiProblem, textProblem } from "../entry.ts";
import { MAX_REASON_BYTES } from "../limits.ts";
import { isRawToken } from "../raw-token.ts";
import { likelyName } from "../text/nearest-word.ts";
import { escapeLine } from "../text/terminal-text.ts";
import { UsageError } from "./errors.ts";
import { readLines } from "./lines.ts";

/** One token as the operator named it. */
export interface InputToken {
  readonly jti: string;
  /** Where the operator named the token, for messages: `line 3`, or the jti itself. */
  readonly origin: string;
  /** As written, not parsed; absent unless the line has its own expiry. */
  readonly expiresAt?: string;
  readonly reason?: string;
  /** True if it was written as JSON, in which white space or a comma is intended. */
  readonly isJson?: true;
}

/** The tokens that a command gets. */
export interface InputTokens {
  /** The tokens in order, in groups of as many as have arrived. Throws a UsageError for the first invalid token. */
  readonly groups: AsyncIterable<readonly InputToken[]>;
  /** The number of all tokens; undefined if they are on standard input. */
  readonly total: number | undefined;
}

const FIELDS = ["jti", "expires_at", "reason"];
/** Further fields printed by `list`, `export`, `blacklist` and `check`, whose output is accepted as input: ignored. */
export const OUTPUT_ONLY_FIELDS: ReadonlySet<string> = new Set(
  "created_at revoked_by outcome verdict revision".split(" "),
);

/** The tokens named by the arguments, or on standard input if the only argument is `-`. */
export function inputTokens(jtis: readonly string[], stdin: Readable): InputTokens {
  return { groups: readTokens(jtis, stdin), total: jtis.includes("-") ? undefined : jtis.length };
}

/** The input that consists of a token that has been read already. */
export function oneToken(token: InputToken): InputTokens {
  return { groups: Readable.from([[token]]), total: 1 };
}

async function* readTokens(jtis: readonly string[], stdin: Readable): AsyncGenerator<InputToken[]> {
  if (jtis.length === 1 && jtis[0] === "-") {
    for await (const lines of readLines(stdin)) {
      yield lines.map(({ number, text }) => lineToken(text, `line ${number}`));
    }
    return;
  }
  if (jtis.length === 0)
    throw new UsageError("no jti given: give one or more, or - to read them from standard input");
  if (jtis.includes("-")) throw new UsageError("- (standard input) cannot be mixed with jtis");
  yield jtis.map(argumentToken);
}

function argumentToken(jti: string): InputToken {
  // Rejected before a message can quote it.
  refuseRawToken(jti, "an argument");
  const origin = `"${escapeLine(jti)}"`;
  // Node has replaced bytes that were not UTF-8 on the command line, so this may be another token than intended.
  if (jti.includes("\ufffd"))
    throw new UsageError(
      `${origin}: contains U+FFFD, which replaces invalid UTF-8 in arguments: use standard input`,
    );
  return { jti: validJti(jti, origin), origin };
}

function lineToken(text: string, origin: string): InputToken {
  if (!text.startsWith("{")) return { jti: validJti(text, origin), origin };
  const { jti, expires_at: expiresAt, reason = "", ...others } = parseObject(text, origin);
  for (const name of Object.keys(others)) {
    if (OUTPUT_ONLY_FIELDS.has(name)) continue;
    const meant = likelyName(name, FIELDS);
    const hint = meant === undefined ? `the fields are ${FIELDS.join(", ")}` : `did you mean "${meant}"?`;
    throw new UsageError(`${origin}: unknown field "${escapeLine(name)}": ${hint}`);
  }
  if (typeof jti !== "string") throw new UsageError(`${origin}: "jti" must be a string`);
  if (typeof reason !== "string") throw new UsageError(`${origin}: "reason" must be a string`);
  if (!["string", "number", "undefined"].includes(typeof expiresAt)) {
    throw new UsageError(`${origin}: "expires_at" must be a string or a number`);
  }
  return {
    jti: validJti(jti, origin, `${origin}: jti`),
    origin,
    isJson: true,
    ...(expiresAt !== undefined && { expiresAt: String(expiresAt) }),
    ...(reason !== "" && {
      reason: expectValid(textProblem(reason, MAX_REASON_BYTES), reason, `${origin}: reason`),
    }),
  };
}

function parseObject(text: string, origin: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    throw new UsageError(
      `${origin}: starts with { but is not JSON: write a jti that starts with { as {"jti": "{..."}`,
    );
  }
}

/** `label` is what messages call the jti: `origin`, or a field of the line. */
function validJti(text: string, origin: string, label = origin): string {
  refuseRawToken(text, origin);
  return expectValid(storedJtiProblem(text), text, label);
}

/** The message quotes nothing of the token. */
function refuseRawToken(text: string, origin: string): void {
  if (isRawToken(text)) {
    throw new UsageError(
      `${origin} is a raw token, not a jti: use --jwt with a file that contains the token, or --jwt - for standard input`,
    );
  }
}

function expectValid(problem: string | undefined, text: string, origin: string): string {
  if (problem !== undefined) throw new UsageError(`${origin}: ${problem}`);
  return text;
}
