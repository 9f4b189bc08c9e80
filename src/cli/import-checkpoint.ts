import { readFile, rename, rm, writeFile } from "node:fs/promises";
import type { Clock } from "../clock.ts";
import type { ImportCounts } from "./import-counts.ts";
import { UsageError } from "./usage-error.ts";

/** How far an import came. */
export interface Progressed {
  /** All lines up to this one are stored, expired or refused. 0: none. */
  readonly line: number;
  /** Of those lines. */
  readonly digest: string;
  readonly counts: ImportCounts;
}

const NOTE_MS = 1000;

/** A file that says how far an import came, for `--resume`. It is gone once everything has been read. */
export class ImportCheckpoint {
  readonly #path: string;
  readonly #clock: Clock;
  /** What an earlier import had dealt with. */
  readonly #begun: Progressed;
  #notedAt: number;
  #latest: Progressed | undefined;

  private constructor(path: string, { clock, progressed }: { clock: Clock; progressed: Progressed }) {
    this.#path = path;
    this.#clock = clock;
    this.#begun = progressed;
    this.#notedAt = clock.monotonic();
  }

  /** Throws a UsageError where the file cannot be written: better now than when it is needed. */
  static async open(
    path: string,
    begun: { clock: Clock; progressed: Progressed },
  ): Promise<ImportCheckpoint> {
    const checkpoint = new ImportCheckpoint(path, begun);
    try {
      await checkpoint.#write(begun.progressed);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      throw new UsageError(
        `the checkpoint ${path} cannot be written (${code}): name another with --checkpoint`,
      );
    }
    return checkpoint;
  }

  /** What `path` says. Throws a UsageError where that is nothing. */
  static async read(path: string): Promise<Progressed> {
    try {
      const { version, ...progressed } = JSON.parse(await readFile(path, "utf8")) as Progressed & {
        version: number;
      };
      if (version === 1 && Number.isSafeInteger(progressed.line)) return progressed;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== undefined) {
        throw new UsageError(`there is nothing to go on with (${code} for ${path}): leave out --resume`);
      }
    }
    throw new UsageError(`the checkpoint ${path} is damaged: start over without --resume, which is safe`);
  }

  /** Written about once a second. */
  async note(progressed: Progressed): Promise<void> {
    this.#latest = progressed;
    if (this.#clock.monotonic() - this.#notedAt < NOTE_MS) return;
    await this.#write(progressed);
    this.#notedAt = this.#clock.monotonic();
  }

  /** The import ends before the input does. Where it has dealt with nothing there is nothing to go on with. */
  async keep(): Promise<void> {
    const progressed = this.#latest ?? this.#begun;
    if (progressed.line === 0) await this.remove();
    else await this.#write(progressed).catch(() => {});
  }

  async remove(): Promise<void> {
    await rm(this.#path, { force: true });
  }

  async #write(progressed: Progressed): Promise<void> {
    await writeFile(`${this.#path}.new`, JSON.stringify({ version: 1, ...progressed }));
    await rename(`${this.#path}.new`, this.#path);
  }
}
