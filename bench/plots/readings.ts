import type { Curve } from "../curve.ts";
import type { Report } from "../report.ts";

/** The curve of the scenario "Capacity: ..." with this name. */
export function curveOf({ scenarios }: Report, name: string): Curve {
  const curve = scenarios.find((scenario) => scenario.name === `Capacity: ${name}`)?.curve;
  if (curve === undefined) throw new RangeError(`the report has no curve "${name}"`);
  return curve;
}

export function valuesOf(curve: Curve, line: string): readonly (number | null)[] {
  const found = curve.lines.find(({ name }) => name === line);
  if (found === undefined) throw new RangeError(`the curve has no line "${line}"`);
  return found.values;
}

/** The measurement at this value of the curve's quantity; NaN if there is none. */
export function valueAt(curve: Curve, line: string, at: number): number {
  return valuesOf(curve, line)[curve.at.indexOf(at)] ?? Number.NaN;
}

/** The curves of fully fresh checks, by jtis per call. */
export const CHECKS = [
  { size: 1, name: "IsBlacklisted, 1 jti a call" },
  { size: 10, name: "IsBlacklisted, 10 jtis a call" },
  { size: 100, name: "IsBlacklisted, 100 jtis a call" },
  { size: 1000, name: "IsBlacklisted, 1,000 jtis a call" },
] as const;

/** The curves of revocations, by tokens per call. */
export const REVOCATIONS = [
  { size: 1, name: "Blacklist, 1 token a call" },
  { size: 10, name: "Blacklist, 10 tokens a call" },
  { size: 100, name: "Blacklist, 100 tokens a call" },
] as const;

export const ENTRIES = "memory and cold start";
export const PRUNE = "Prune of 100,000 rows beside checks of 20 jtis";
