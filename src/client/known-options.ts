import type { Violation } from "../errors.ts";
import { nearestOf } from "../nearest-word.ts";

/** A violation for each name in `given` that is none of `known`: an option that was misspelt would be absent without a word. */
export function unknownOptions(given: object, known: readonly string[]): Violation[] {
  const lower = new Map(known.map((name) => [name.toLowerCase(), name]));
  return Object.keys(given)
    .filter((name) => !known.includes(name))
    .map((field) => {
      const [nearest = "", mistakes] = nearestOf(field.toLowerCase(), lower.keys());
      // More mistakes than that, and another word was meant.
      const isLike = mistakes <= Math.max(1, field.length / 3);
      const hint = isLike ? `was ${lower.get(nearest)} meant?` : `the options are ${known.join(", ")}`;
      return { field, description: `is no option: ${hint}` };
    });
}
