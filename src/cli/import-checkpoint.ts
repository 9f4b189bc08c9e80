import { lstat, rm } from "node:fs/promises";
import type { Clock } from "../time/clock.ts";
import { openPrivateFile, readPrivateFile, replacePrivateFile, temporaryPathOf } from "./private-file.ts";
import { UsageError } from "./usage-error.ts";

/** The progress of an import. */
export interface ImportProgress {
  /** All lines up to this one are stored, expired or refused. 0: none. */
  readonly line: number;
  /** The digest of those lines. */
  readonly digest: string;
  readonly counts: ImportCounts;
}

const SAVE_INTERVAL_MS = 1000;

/** A file that holds the progress of an import for `--resume`. It is deleted once the whole input has been read. */
export class ImportCheckpoint {
  readonly #path: string;
  readonly #clock: Clock;
  /** The progress of an earlier import. */
  readonly #begun: ImportProgress;
  #savedAt: number;
  #latest: ImportProgress | undefined;

  private constructor(path: string, { clock, progressed }: { clock: Clock; progressed: ImportProgress }) {
    this.#path = path;
    this.#clock = clock;
    this.#begun = progressed;
    this.#savedAt = clock.monotonic();
  }

  /**
   * Writes the file at once, so that a path that cannot be written, or that names another file such as the input, is a UsageError
   * before the import begins.
   */
  static async open(
    path: string,
    begun: { clock: Clock; progressed: ImportProgress },
  ): Promise<ImportCheckpoint> {
    const checkpoint = new ImportCheckpoint(path, begun);
    try {
      for (const written of [path, temporaryPathOf(path)]) await expectCheckpoint(written);
      await checkpoint.#write(begun.progressed);
    } catch (error) {
      if (error instanceof UsageError) throw error;
      const { code } = error as NodeJS.ErrnoException;
      throw new UsageError(
        `the checkpoint ${path} cannot be written (${code}): choose another path with --checkpoint`,
      );
    }
    return checkpoint;
  }

  /** Reads the checkpoint. Throws a UsageError if `path` is not one. */
  static async read(path: string): Promise<ImportProgress> {
    try {
      const progressed = progressedIn(JSON.parse(await readPrivateFile(path)));
      if (progressed !== undefined) return progressed;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== undefined) {
        throw new UsageError(`there is no import to resume (${code} for ${path}): omit --resume`);
      }
    }
    throw new UsageError(
      `${path} is not a checkpoint, or is damaged: delete it and start over without --resume, which is safe`,
    );
  }

  /** Records the progress; written about once a second. */
  async note(progressed: ImportProgress): Promise<void> {
    this.#latest = progressed;
    if (this.#clock.monotonic() - this.#savedAt < SAVE_INTERVAL_MS) return;
    await this.#write(progressed);
    this.#savedAt = this.#clock.monotonic();
  }

  /** Called when the import ends before the input does. Without any progress there is nothing to resume, and the file is deleted. */
  async keep(): Promise<void> {
    const progressed = this.#latest ?? this.#begun;
    if (progressed.line === 0) await this.remove();
    else await this.#write(progressed).catch(() => {});
  }

  async remove(): Promise<void> {
    await rm(this.#path, { force: true });
  }

  async #write(progressed: ImportProgress): Promise<void> {
    await replacePrivateFile(this.#path, `${BEGINNING}${JSON.stringify(progressed).slice(1)}`);
  }
}

/** The first bytes of every checkpoint. */
const BEGINNING = '{"version":1,';

/** Throws a UsageError if `path` is any other file, or a link: it will be overwritten, and deleted in the end. */
async function expectCheckpoint(path: string): Promise<void> {
  const existing = await lstat(path).catch(() => undefined);
  if (existing === undefined) return;
  // mktemp creates an empty file, and a crash may leave a truncated one.
  if (existing.isFile() && BEGINNING.startsWith(await beginningOf(path))) return;
  throw new UsageError(
    `${path} exists and is not a checkpoint: choose another path with --checkpoint, or delete it`,
  );
}

async function beginningOf(path: string): Promise<string> {
  const handle = await openPrivateFile(path, "read");
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(BEGINNING.length), 0, BEGINNING.length, 0);
    return buffer.toString("latin1", 0, bytesRead);
  } finally {
    await handle.close();
  }
}

/** Undefined unless `value` is the content of a checkpoint. */
function progressedIn(value: unknown): ImportProgress | undefined {
  const { version, line, digest, counts } = (value ?? {}) as Partial<ImportProgress> & { version?: unknown };
  if (version !== 1 || !isCount(line) || typeof digest !== "string" || typeof counts !== "object")
    return undefined;
  const isWhole = Object.keys(NO_COUNTS).every(
    (name) => Object.hasOwn(counts ?? {}, name) && isCount(counts?.[name as keyof ImportCounts]),
  );
  return isWhole ? { line, digest, counts } : undefined;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** How the lines of an import were dealt with. */
export interface ImportCounts {
  readonly lines: number;
  readonly created: number;
  readonly already_blacklisted: number;
  readonly extended: number;
  /** Expired according to the service, leeway included. */
  readonly expired: number;
  /** Invalid lines, and tokens that the service rejected. */
  readonly refused: number;
}

export const NO_COUNTS: ImportCounts = {
  lines: 0,
  created: 0,
  already_blacklisted: 0,
  extended: 0,
  expired: 0,
  refused: 0,
};

export function sumOf(counts: ImportCounts, more: Partial<ImportCounts>): ImportCounts {
  const names = Object.keys(NO_COUNTS) as (keyof ImportCounts)[];
  return Object.fromEntries(
    names.map((name) => [name, counts[name] + (more[name] ?? 0)]),
  ) as unknown as ImportCounts;
}

/** How many of the tokens of the import are in the blacklist. */
export function storedOf({ created, already_blacklisted, extended }: ImportCounts): number {
  return created + already_blacklisted + extended;
}
