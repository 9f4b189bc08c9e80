import { readFileSync } from "node:fs";
import { settingProblem } from "../text/setting-text.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

/** The format of a value. */
export interface Format {
  /** Whether it is a list of items separated by white space, line breaks included. Each item is then validated like a whole value. */
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

  /** The value of the variable, or the content of the file that `NAME_FILE` names, parsed by `parse`. */
  read<T>(name: string, fallback: string, parse: (text: string) => T, format?: Format): T {
    return this.#attempt(name, () => parse(this.#lookUp(name, format) ?? fallback));
  }

  /** As {@link read}, but undefined if the variable is absent. */
  optional<T>(name: string, parse: (text: string) => T, format?: Format): T | undefined {
    return this.#attempt(name, () => {
      const text = this.#lookUp(name, format);
      return text === undefined ? undefined : parse(text);
    });
  }

  /** The path in the variable; undefined if it is absent. The file is read later, but it is a problem if it cannot be read now. */
  readablePath(name: string): string | undefined {
    return this.#attempt(name, () => {
      const path = this.#path(name);
      if (path !== undefined) contentOf(path);
      return path;
    });
  }

  /** The path in `NAME_FILE`, to read the value again later. {@link read} and {@link optional} report problems with that file. */
  pathOfFile(name: string): string | undefined {
    return this.#variable(`${name}_FILE`);
  }

  /** The content of the file whose path is in the variable; undefined if it is absent. */
  content(name: string): string | undefined {
    return this.#attempt(name, () => {
      const path = this.#path(name);
      return path === undefined ? undefined : contentOf(path);
    });
  }

  /** Whether the variable or its `_FILE` counterpart is set, even to an invalid value. */
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

  /** Secrets can be passed in a file, outside the environment. */
  #lookUp(name: string, format?: Format): string | undefined {
    const value = this.#variable(name);
    const file = this.#variable(`${name}_FILE`);
    if (file === undefined) {
      if (value !== undefined) expectUnaltered(value, format);
      return value;
    }
    if (value !== undefined) throw new RangeError(`and ${name}_FILE are both set: choose one`);
    const what = `the file that ${name}_FILE names`;
    const problem = settingProblem(file);
    if (problem !== undefined) throw new RangeError(`cannot be read: the value of ${name}_FILE ${problem}`);
    const text = contentOf(file, `cannot be read from ${what}`).replace(/\r?\n$/, "");
    if (text === "") throw new RangeError(`cannot be read: ${what} is empty`);
    expectUnaltered(text, format);
    return text;
  }

  #path(name: string): string | undefined {
    const path = this.#variable(name);
    if (path !== undefined) expectUnaltered(path);
    return path;
  }

  #variable(name: string): string | undefined {
    this.lookedUp.add(name);
    return this.#env[name] || undefined;
  }
}

function expectUnaltered(text: string, { isList = false }: Format = {}): void {
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
