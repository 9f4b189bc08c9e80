import { readFileSync } from "node:fs";
import { settingProblem } from "../text/setting-text.ts";
import { parseDuration } from "../time/duration.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

interface Format {
  /** Whether the value is a list of items separated by white space, line breaks included. Each item is then validated like a whole value. */
  readonly isList?: boolean;
}

/** Reads variables, and collects problems with them instead of throwing. An empty variable counts as absent. */
export class EnvironmentReader {
  readonly problems: string[] = [];
  /** The names of all variables that were looked up, set or not. */
  readonly lookedUp = new Set<string>();
  readonly #env: Environment;

  constructor(env: Environment) {
    this.#env = env;
  }

  /** The value of the variable, or the content of the file that `NAME_FILE` names, or `fallback` if both are absent; parsed by `parse`. */
  read<T>(name: string, fallback: string, parse: (text: string) => T, format?: Format): T {
    return this.#attempt(name, () => parse(this.#lookUp(name, format) ?? fallback));
  }

  /** Like {@link read}, but undefined if the variable is absent. */
  optional<T>(name: string, parse: (text: string) => T, format?: Format): T | undefined {
    return this.#attempt(name, () => {
      const text = this.#lookUp(name, format);
      return text === undefined ? undefined : parse(text);
    });
  }

  /** The file whose path is in the variable, for reading it again later; undefined if the variable is absent. */
  file(name: string): { readonly path: string; readonly content: string } | undefined {
    return this.#attempt(name, () => {
      const path = this.#variable(name);
      if (path === undefined) return undefined;
      validate(path);
      return { path, content: contentOf(path) };
    });
  }

  /** The path in `NAME_FILE`, from which to read the value again later; undefined if it is absent. Reports no problem. */
  pathOfFile(name: string): string | undefined {
    return this.#variable(`${name}_FILE`);
  }

  /** Whether the variable or `NAME_FILE` is set, even to an invalid value. */
  isSet(name: string): boolean {
    return Boolean(this.#env[name] || (!name.endsWith("_FILE") && this.#env[`${name}_FILE`]));
  }

  addProblem(problem: string): void {
    this.problems.push(problem);
  }

  /** Turns a RangeError into a problem of the variable. */
  #attempt<T>(name: string, read: () => T): T {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      this.problems.push(`${name} ${error.message}`);
      // Never used, since no Config is returned if there are problems.
      return undefined as T;
    }
  }

  /** The text of the variable, or of the file that `NAME_FILE` names, so that secrets need not be in the environment. */
  #lookUp(name: string, format?: Format): string | undefined {
    const value = this.#variable(name);
    const file = this.#variable(`${name}_FILE`);
    if (file === undefined) {
      if (value !== undefined) validate(value, format);
      return value;
    }
    if (value !== undefined) throw new RangeError(`and ${name}_FILE are both set: choose one`);
    const what = `the file that ${name}_FILE names`;
    const problem = settingProblem(file);
    if (problem !== undefined) throw new RangeError(`cannot be read: the value of ${name}_FILE ${problem}`);
    const text = contentOf(file, `cannot be read from ${what}`).replace(/\r?\n$/, "");
    if (text === "") throw new RangeError(`cannot be read: ${what} is empty`);
    validate(text, format);
    return text;
  }

  #variable(name: string): string | undefined {
    this.lookedUp.add(name);
    return this.#env[name] || undefined;
  }
}

function validate(text: string, { isList = false }: Format = {}): void {
  for (const item of isList ? text.split(/[ \t\r\n]+/) : [text]) {
    const problem = settingProblem(item);
    if (problem !== undefined) throw new RangeError(problem);
  }
}

function contentOf(path: string, complaint = "names a file that cannot be read"): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new RangeError(`${complaint} (${(error as NodeJS.ErrnoException).code})`);
  }
}

// The functions below parse the text of a variable, or throw a RangeError whose message follows the variable's name.

/** Parses a duration within bounds to milliseconds. */
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
