import { readFileSync } from "node:fs";
import { UsageError } from "./usage-error.ts";

/** A file that the operator names. */
export interface NamedFile {
  /** The option or variable that names the file: messages show this, and neither the path nor the content. */
  readonly name: string;
  readonly path: string;
}

export function contentOf({ name, path }: NamedFile): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new UsageError(`the file of ${name} cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
}
