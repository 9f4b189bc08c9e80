import { open, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
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

  /**
   * Throws a UsageError where the file cannot be written: better now than when it is needed; and where another file, such as the input
   * itself, has its name.
   */
  static async open(
    path: string,
    begun: { clock: Clock; progressed: Progressed },
  ): Promise<ImportCheckpoint> {
    const checkpoint = new ImportCheckpoint(path, begun);
    try {
      for (const written of [path, nextOf(path)]) await expectCheckpoint(written);
      await checkpoint.#write(begun.progressed);
    } catch (error) {
      if (error instanceof UsageError) throw error;
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
    throw new UsageError(
      `${path} is no checkpoint, or a damaged one: delete it and start over without --resume, which is safe`,
    );
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
    await writeFile(nextOf(this.#path), `${BEGINNING}${JSON.stringify(progressed).slice(1)}`);
    await rename(nextOf(this.#path), this.#path);
  }
}

/** How every checkpoint begins. */
const BEGINNING = '{"version":1,';

/** Where a checkpoint is written before it takes its name. */
function nextOf(path: string): string {
  return `${path}.new`;
}

/** Throws a UsageError where `path` holds anything else: it will be overwritten, and deleted in the end. */
async function expectCheckpoint(path: string): Promise<void> {
  const there = await stat(path).catch(() => undefined);
  if (there === undefined) return;
  // Empty is what mktemp makes, and shorter what a crash has left.
  if (there.isFile() && BEGINNING.startsWith(await beginningOf(path))) return;
  throw new UsageError(
    `${path} is there already, and is no checkpoint of an import: name another with --checkpoint, or delete it`,
  );
}

async function beginningOf(path: string): Promise<string> {
  const handle = await open(path);
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(BEGINNING.length), 0, BEGINNING.length, 0);
    return buffer.toString("latin1", 0, bytesRead);
  } finally {
    await handle.close();
  }
}
