/**
 * Characters that no setting contains on purpose: controls, formatting marks, lone surrogates, line separators, replacement characters, and
 * all spaces but U+0020. Joiners are allowed, since some scripts need them. Env files, systemd's EnvironmentFile, YAML block scalars, and
 * editors that write a byte order mark add such characters to a value.
 */
const HIDDEN = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\ufffd]|(?! )\p{Zs}/u;
const QUOTES = /^["'`\u2018-\u201f]|["'`\u2018-\u201f]$/u;

/**
 * Why `text` is not valid as the value of a setting, worded to follow the setting's name; undefined if it is valid. Values are never
 * trimmed or guessed. The message names the offending character and no other.
 */
export function settingProblem(text: string): string | undefined {
  const hidden = HIDDEN.exec(text);
  if (hidden !== null) {
    if (/^\r?\n$/.test(text.slice(hidden.index))) {
      return 'ends with a line break: remove it (in YAML a block scalar adds one: write it with "|-", or on one line)';
    }
    return `contains the invisible character ${codePoint(hidden[0])}: remove it`;
  }
  if (text.startsWith(" ") || text.endsWith(" ")) return "begins or ends with a space: remove it";
  if (QUOTES.test(text)) {
    return "begins or ends with a quotation mark: remove it (docker run --env-file and Kubernetes hand quotation marks on as part of the value)";
  }
  return undefined;
}

function codePoint(character: string): string {
  return `U+${(character.codePointAt(0) as number).toString(16).toUpperCase().padStart(4, "0")}`;
}
