import type { Result } from "./result.ts";

/** What was found wrong with a history, by kind. */
export interface Findings {
  readonly violations: readonly unknown[];
  /** What no fault brings about. */
  readonly accidents: readonly unknown[];
  /** The fault, or the questions after it, did not come to their end. */
  readonly problems: readonly unknown[];
  /** What was tried, or answered, too seldom to prove anything. */
  readonly tooLittle: readonly unknown[];
}

/** An accident outweighs violations: what was answered may have been somebody else's answer. */
export function verdictOf(findings: Findings): Pick<Result, "verdict" | "onlyTooLittle"> {
  const [violations, accidents, problems, tooLittle] = [
    findings.violations.length > 0,
    findings.accidents.length > 0,
    findings.problems.length > 0,
    findings.tooLittle.length > 0,
  ];
  return {
    verdict:
      violations && !accidents ? "violation" : accidents || problems || tooLittle ? "insufficient" : "ok",
    onlyTooLittle: tooLittle && !violations && !accidents && !problems,
  };
}
