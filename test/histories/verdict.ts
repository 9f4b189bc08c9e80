import type { Result } from "./result.ts";

/** The findings of a history, by kind. */
export interface Findings {
  readonly violations: readonly unknown[];
  /** Errors that no fault explains. */
  readonly accidents: readonly unknown[];
  /** The fault, or the checks after it, did not finish. */
  readonly problems: readonly unknown[];
  /** Too few attempts or results to prove anything. */
  readonly tooLittle: readonly unknown[];
}

/** An accident outweighs violations, since a response may have come from another process. */
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
