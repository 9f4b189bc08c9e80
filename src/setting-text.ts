// What no value of a setting has on purpose. It comes along when a value is written into a file: env files, systemd's
// EnvironmentFile, YAML block scalars, editors that begin a file with a byte order mark.

/** Controls, line separators, formatting marks, every space but the plain one, and what was not UTF-8. Joiners are spelling in some scripts. */
const HIDDEN = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\ufffd]|(?! )\p{Zs}/u;
const QUOTES = /^["'`\u2018-\u201f]|["'`\u2018-\u201f]$/u;

/**
 * What is wrong with `text` as the value of a setting, as the end of a sentence that begins with the setting's name; undefined
 * when nothing is. Nothing is trimmed: a value that was meant is never guessed. Says which character it is, and no other.
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
