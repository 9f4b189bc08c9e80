import type { EpochMs } from "../entry.ts";
import { escapeLine } from "../text/terminal-text.ts";
import type { TimeArgument } from "./time-argument.ts";
import type { InputToken } from "./token-input.ts";

const YEAR_MS = 365 * 24 * 3_600_000;
/** Longer than the lifetime of any token issued on purpose. */
const MAX_LIFE_YEARS = 10;

/** Text that is valid in a jti, but is probably a mistake. Jtis are compared byte by byte, so such a jti names another token than intended. */
const MISTAKES: readonly (readonly [pattern: RegExp, problem: string])[] = [
  [/^\s|\s$/u, "has leading or trailing white space, which is part of the jti"],
  [
    /^[^\s,][^,]*\s[^,]*[^\s,]$/u,
    "contains white space, which is part of the jti: give several jtis as separate arguments, or one per line",
  ],
  // White space is covered above, and joiners are part of the spelling in some scripts.
  [/(?![\s\u200c\u200d])[\p{Cc}\p{Cf}]/u, "contains an invisible character, which is part of the jti"],
  [
    /^"[^"]*"$|^'[^']*'$|^`[^`]*`$|^[\u2018-\u201f].*[\u2018-\u201f]$/u,
    "is in quotes, which are part of the jti",
  ],
  [
    /,/u,
    "contains a comma, which is part of the jti: give several jtis as separate arguments, or one per line",
  ],
  [/^\[/u, "begins with a bracket, which is part of the jti: write one jti or object per line, not a list"],
  [
    /^[\u2010-\u2015\u2212]/u,
    "begins with a dash that is not a hyphen, which is part of the jti: options begin with two hyphens",
  ],
];

/** Warns, once per kind of mistake, of input that is accepted unchanged but is probably a mistake. */
export class InputWarnings {
  readonly #warn: (line: string) => void;
  readonly #warned = new Set<string>();

  constructor(warn: (line: string) => void) {
    this.#warn = warn;
  }

  /** Checks jtis as they were given. */
  checkJtis(tokens: readonly Pick<InputToken, "jti" | "origin" | "isJson">[]): void {
    const unreported = MISTAKES.filter(([, problem]) => !this.#warned.has(problem));
    if (unreported.length === 0) return;
    for (const { jti, origin, isJson } of tokens) {
      if (isJson) continue;
      for (const [pattern, problem] of unreported) if (pattern.test(jti)) this.#warnOnce(problem, origin);
    }
  }

  checkExpiry({ seconds }: TimeArgument, origin: string, now: EpochMs): void {
    const years = (Number(seconds) * 1000 - now) / YEAR_MS;
    if (years <= MAX_LIFE_YEARS) return;
    const explanation = ` (${Math.floor(years)} years): the entry is kept until then`;
    this.#warnOnce("is decades ahead", `${origin}: the expiry`, explanation);
  }

  #warnOnce(problem: string, origin: string, explanation = ""): void {
    if (this.#warned.has(problem)) return;
    this.#warned.add(problem);
    this.#warn(`warning: ${escapeLine(origin)} ${problem}${explanation}`);
  }
}
