import { readFileSync } from "node:fs";
import { settingProblem } from "../setting-text.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

/** How a value is written. */
export interface Format {
  /** Items separated by white space, line breaks included; each is held to what a whole value is otherwise. */
  readonly isList?: boolean;
}

/** Reads variables, and collects everything that is wrong with them. An empty variable counts as absent. */
export class EnvironmentReader {
  readonly problems: string[] = [];
  /** Every variable that was looked at. */
  readonly names = new Set<string>();
  readonly #env: Environment;

  constructor(env: Environment) {
    this.#env = env;
  }

  /** The variable, or the content of the file that `NAME_FILE` names, read by `parse`. */
  read<T>(name: string, fallback: string, parse: (text: string) => T, format?: Format): T {
    return this.#attempt(name, () => parse(this.#lookUp(name, format) ?? fallback));
  }

  /** As {@link read}; undefined where the variable is absent. */
  optional<T>(name: string, parse: (text: string) => T, format?: Format): T | undefined {
    return this.#attempt(name, () => {
      const text = this.#lookUp(name, format);
      return text === undefined ? undefined : parse(text);
    });
  }

  /** A variable that names a file, which is read when it is needed and must be there now. */
  file(name: string): string | undefined {
    return this.#attempt(name, () => {
      const path = this.#path(name);
      if (path !== undefined) contentOf(path);
      return path;
    });
  }

  /** The file that `NAME_FILE` names, for whoever reads it again. {@link read} or {@link optional} says what is wrong with it. */
  fileOf(name: string): string | undefined {
    return this.#variable(`${name}_FILE`);
  }

  /** What stands in the file that a variable names. */
  content(name: string): string | undefined {
    return this.#attempt(name, () => {
      const path = this.#path(name);
      return path === undefined ? undefined : contentOf(path);
    });
  }

  /** Whether the variable, or its file, is given: well or not. */
  isSet(name: string): boolean {
    return Boolean(this.#env[name] || (!name.endsWith("_FILE") && this.#env[`${name}_FILE`]));
  }

  add(problem: string): void {
    this.problems.push(problem);
  }

  #attempt<T>(name: string, read: () => T): T {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      this.problems.push(`${name} ${error.message}`);
      // Never seen: a problem means that no Config is returned.
      return undefined as T;
    }
  }

  /** Secrets need not stand in the environment. */
  #lookUp(name: string, format?: Format): string | undefined {
    const value = this.#variable(name);
    const file = this.#variable(`${name}_FILE`);
    if (file === undefined) {
      if (value !== undefined) refuseAccidents(value, format);
      return value;
    }
    if (value !== undefined) throw new RangeError(`and ${name}_FILE are both set: choose one`);
    const what = `the file that ${name}_FILE names`;
    const problem = settingProblem(file);
    if (problem !== undefined) throw new RangeError(`cannot be read: the value of ${name}_FILE ${problem}`);
    const text = contentOf(file, `cannot be read from ${what}`).replace(/\r?\n$/, "");
    if (text === "") throw new RangeError(`cannot be read: ${what} is empty`);
    refuseAccidents(text, format);
    return text;
  }

  #path(name: string): string | undefined {
    const path = this.#variable(name);
    if (path !== undefined) refuseAccidents(path);
    return path;
  }

  #variable(name: string): string | undefined {
    this.names.add(name);
    return this.#env[name] || undefined;
  }
}

function refuseAccidents(text: string, { isList = false }: Format = {}): void {
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
