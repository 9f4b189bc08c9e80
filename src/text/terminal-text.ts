// Characters that could control a terminal, or are indistinguishable from others: controls, formatting marks (direction overrides among
// them), lone surrogates, line separators, fillers, and all spaces but U+0020.
const HIDDEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u2800]|(?! )\p{Zs}/gu;
const EDGE_SPACE = /^ +| +$/g;
const SHORT_ESCAPES: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/** Escapes `text` for a terminal: invisible characters, and the backslash, so that the result is unambiguous. */
export function escapeForTerminal(text: string): string {
  return escapeLine(text.replaceAll("\\", "\\\\")).replace(EDGE_SPACE, (spaces) =>
    "\\x20".repeat(spaces.length),
  );
}

/** Like {@link escapeForTerminal}, for a sentence that quotes foreign text: leaves backslashes and spaces unchanged. */
export function escapeLine(text: string): string {
  return text.replace(HIDDEN, (character) => SHORT_ESCAPES[character] ?? escapeSequence(character));
}

/** `value` as JSON on one line, with the same characters escaped. Parses to the same value. */
export function terminalJson(value: unknown): string {
  return escapeJson(JSON.stringify(value));
}

/** Escapes the same characters in JSON text. Outside strings, JSON contains none of them except line breaks, which are not allowed here. */
export function escapeJson(json: string): string {
  return json.replace(HIDDEN, (character) =>
    character
      .split("")
      .map((unit) => `\\u${hex(unit.charCodeAt(0), 4)}`)
      .join(""),
  );
}

function escapeSequence(character: string): string {
  const code = character.codePointAt(0) as number;
  if (code < 0x80) return `\\x${hex(code, 2)}`;
  return code <= 0xffff ? `\\u${hex(code, 4)}` : `\\u{${hex(code, 1)}}`;
}

function hex(code: number, digits: number): string {
  return code.toString(16).padStart(digits, "0");
}
