import { readFileSync } from "node:fs";

export type Environment = Readonly<Record<string, string | undefined>>;

/** Reads variables, and collects everything that is wrong with them. */
export class EnvironmentReader {
  readonly problems: string[] = [];
  readonly #env: Environment;

  constructor(env: Environment) {
    this.#env = env;
  }

  /** The variable, or the content of the file that `NAME_FILE` names, read by `parse`; empty counts as absent. */
  read<T>(name: string, fallback: string, parse: (text: string) => T): T {
    return this.#attempt(name, () => parse(this.#lookUp(name) ?? fallback));
  }

  /** As {@link read}; undefined where the variable is absent. */
  optional<T>(name: string, parse: (text: string) => T): T | undefined {
    return this.#attempt(name, () => {
      const text = this.#lookUp(name);
      return text === undefined ? undefined : parse(text);
    });
  }

  /** A variable that names a file, which is read when it is needed and must be there now. */
  file(name: string): string | undefined {
    const path = this.#env[name] || undefined;
    return this.#attempt(name, () => {
      if (path !== undefined) contentOf(path);
      return path;
    });
  }

  /** What stands in the file that a variable names. */
  content(name: string): string | undefined {
    const path = this.#env[name] || undefined;
    return this.#attempt(name, () => (path === undefined ? undefined : contentOf(path)));
  }

  /** Whether the variable, or its file, is given: well or not. */
  isSet(name: string): boolean {
    return Boolean(this.#env[name] || this.#env[`${name}_FILE`]);
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
  #lookUp(name: string): string | undefined {
    const value = this.#env[name] || undefined;
    const file = this.#env[`${name}_FILE`] || undefined;
    if (file === undefined) return value;
    if (value !== undefined) throw new RangeError(`and ${name}_FILE are both set: choose one`);
    return contentOf(file, `cannot be read from the file that ${name}_FILE names`).replace(/\r?\n$/, "");
  }
}

function contentOf(path: string, complaint = "names a file that cannot be read"): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new RangeError(`${complaint} (${(error as NodeJS.ErrnoException).code})`);
  }
}
