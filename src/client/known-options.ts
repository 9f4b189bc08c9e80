import type { Violation } from "../errors.ts";
import { nearestOf } from "../nearest-word.ts";

/** The names of an interface's options, none of which the compiler lets one forget. */
export function namesOf<Options>(names: Readonly<Record<keyof Options, true>>): readonly string[] {
  return Object.keys(names);
}

/** A violation for each name in `given` that is none of `known`: an option that was misspelt would be absent without a word. */
export function unknownOptions(given: object, known: readonly string[]): Violation[] {
  return unknownNames(given, known).map((field) => {
    const meant = likelyName(field, known);
    const hint = meant === undefined ? `the options are ${known.join(", ")}` : `was ${meant} meant?`;
    return { field, description: `is no option: ${hint}` };
  });
}

/** The same of what a call was given as its options, which callers without a type checker may have taken for something else. */
export function callOptionsProblems(given: unknown, known: readonly string[]): Violation[] {
  if (typeof given === "object" && given !== null) return unknownOptions(given, known);
  return [{ field: "options", description: `must be an object with any of ${known.join(", ")}` }];
}

/** A violation for each name in `given` that is like one of `known`. Others are passed over: the object may come from elsewhere. */
export function misspeltFields(given: object, known: readonly string[]): Violation[] {
  return unknownNames(given, known).flatMap((field) => {
    const meant = likelyName(field, known);
    return meant === undefined ? [] : [{ field, description: `is not read: was ${meant} meant?` }];
  });
}

function unknownNames(given: object, known: readonly string[]): string[] {
  return Object.keys(given).filter((name) => !known.includes(name));
}

function likelyName(name: string, known: readonly string[]): string | undefined {
  const lower = new Map(known.map((one) => [one.toLowerCase(), one]));
  const [nearest = "", mistakes] = nearestOf(name.toLowerCase(), lower.keys());
  // More mistakes than that, and another word was meant.
  return mistakes <= Math.max(1, name.length / 3) ? lower.get(nearest) : undefined;
}
