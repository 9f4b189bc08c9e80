import { parseDuration } from "../time/duration.ts";

// Each function parses the text of a variable, or throws a RangeError whose message follows the variable's name.

/** Parses a duration within bounds, to milliseconds. */
export function between(least: string, most: string): (text: string) => number {
  return (text) => {
    const ms = parseDuration(text);
    if (ms < parseDuration(least) || ms > parseDuration(most)) {
      throw new RangeError(`must be between ${least} and ${most}`);
    }
    return ms;
  };
}

export function wholeNumber(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= least && value <= most)) {
      throw new RangeError(`must be a whole number between ${least} and ${most}`);
    }
    return value;
  };
}

export function oneOf<const T extends string>(...choices: readonly T[]): (text: string) => T {
  return (text) => {
    const choice = choices.find((known) => known === text);
    if (choice === undefined) {
      const last = choices.length > 2 ? `one of ${choices.join(", ")}` : choices.join(" or ");
      throw new RangeError(`must be ${last}`);
    }
    return choice;
  };
}

export function onOrOff(text: string): boolean {
  return oneOf("on", "off")(text) === "on";
}

/** Accepts any text. */
export function anyText(text: string): string {
  return text;
}
