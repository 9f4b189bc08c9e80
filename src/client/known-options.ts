import type { Violation } from "../errors.ts";
import { likelyName } from "../text/nearest-word.ts";

/** The names of an interface's options; the compiler requires all of them. */
export function namesOf<Options>(names: Readonly<Record<keyof Options, true>>): readonly string[] {
  return Object.keys(names);
}

/** A violation for each name in `given` that is not in `known`: a misspelt option would otherwise be ignored silently. */
export function unknownOptions(given: object, known: readonly string[]): Violation[] {
  return unknownNames(given, known).map((field) => {
    const meant = likelyName(field, known);
    const hint = meant === undefined ? `the options are ${known.join(", ")}` : `was ${meant} meant?`;
    return { field, description: `is no option: ${hint}` };
  });
}

/** {@link unknownOptions} for a call's options, which may not be an object if the caller has no type checker. */
export function callOptionsProblems(given: unknown, known: readonly string[]): Violation[] {
  if (typeof given === "object" && given !== null) return unknownOptions(given, known);
  return [{ field: "options", description: `must be an object with any of ${known.join(", ")}` }];
}

/** A violation for each name in `given` that resembles one of `known`. Other names are ignored: the object may come from elsewhere. */
export function misspeltFields(given: object, known: readonly string[]): Violation[] {
  return unknownNames(given, known).flatMap((field) => {
    const meant = likelyName(field, known);
    return meant === undefined ? [] : [{ field, description: `is not read: was ${meant} meant?` }];
  });
}

function unknownNames(given: object, known: readonly string[]): string[] {
  return Object.keys(given).filter((name) => !known.includes(name));
}
