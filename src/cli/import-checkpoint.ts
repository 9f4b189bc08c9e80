import { lstat, rm } from "node:fs/promises";
import { MAX_BATCH } from "../limits.ts";
import type { Clock } from "../time/clock.ts";
import { type BatchImporter, COUNT_NAMES, type ImportCounts } from "./batch-importer.ts";
import { UsageError } from "./errors.ts";
import type { ImportItem, InputDigest } from "./import-items.ts";
import { openPrivateFile, readPrivateFile, replacePrivateFile, temporaryPathOf } from "./private-file.ts";

/** The progress of an import. */
export interface ImportProgress {
  /** All lines up to this line number are done: stored, expired or refused. 0: no line is. */
  readonly line: number;
  /** The digest of those lines. */
  readonly digest: string;
  readonly counts: ImportCounts;
}

/** How often the progress is written, which bounds what is sent again after a kill. */
const SAVE_INTERVAL_MS = 1000;

/** A file that holds the progress of an import for `--resume`. It is deleted once the whole input has been read. */
export class ImportCheckpoint {
  readonly #path: string;
  readonly #clock: Clock;
  /** The progress when this import began. */
  readonly #initial: ImportProgress;
  /** When the file was last written, by the monotonic clock. */
  #savedAt: number;
  #latest: ImportProgress | undefined;

  private constructor(path: string, { clock, progress }: { clock: Clock; progress: ImportProgress }) {
    this.#path = path;
    this.#clock = clock;
    this.#initial = progress;
    this.#savedAt = clock.monotonic();
  }

  /**
   * Writes the file at once, so that a path that cannot be written, or that names another file such as the input, is a UsageError
   * before the import begins.
   */
  static async open(
    path: string,
    start: { clock: Clock; progress: ImportProgress },
  ): Promise<ImportCheckpoint> {
    const checkpoint = new ImportCheckpoint(path, start);
    try {
      for (const written of [path, temporaryPathOf(path)]) await expectCheckpoint(written);
      await checkpoint.#write(start.progress);
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
      const progress = parseProgress(JSON.parse(await readPrivateFile(path)));
      if (progress !== undefined) return progress;
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
  async record(progress: ImportProgress): Promise<void> {
    this.#latest = progress;
    if (this.#clock.monotonic() - this.#savedAt < SAVE_INTERVAL_MS) return;
    await this.#write(progress);
    this.#savedAt = this.#clock.monotonic();
  }

  /** Called if the import ends before the input does. If no line is done there is nothing to resume, and the file is deleted. */
  async keep(): Promise<void> {
    const progress = this.#latest ?? this.#initial;
    if (progress.line === 0) await this.remove();
    else await this.#write(progress).catch(() => {});
  }

  async remove(): Promise<void> {
    await rm(this.#path, { force: true });
  }

  async #write(progress: ImportProgress): Promise<void> {
    await replacePrivateFile(this.#path, `${BEGINNING}${JSON.stringify(progress).slice(1)}`);
  }
}

/** The first bytes of every checkpoint. */
const BEGINNING = '{"version":1,';

/** Throws a UsageError if `path` is any other file, or a link: it will be overwritten, and deleted in the end. */
async function expectCheckpoint(path: string): Promise<void> {
  const existing = await lstat(path).catch(() => undefined);
  if (existing === undefined) return;
  // mktemp creates an empty file, and a crash may leave a truncated file.
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
function parseProgress(value: unknown): ImportProgress | undefined {
  const { version, line, digest, counts } = (value ?? {}) as Partial<ImportProgress> & { version?: unknown };
  if (version !== 1 || !isCount(line) || typeof digest !== "string" || typeof counts !== "object")
    return undefined;
  const isComplete = COUNT_NAMES.every(
    (name) => Object.hasOwn(counts ?? {}, name) && isCount(counts?.[name]),
  );
  return isComplete ? { line, digest, counts } : undefined;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/**
 * Skips the items that are `done`, adds the skipped ones to `digest`, and yields the rest. Throws a UsageError if the input has changed
 * since the interrupted import, and an Error if the service lacks one of the last entries that were stored: it is another service, or its database was
 * restored.
 */
export async function* remainingItems(
  source: AsyncIterable<ImportItem[]>,
  { done, digest, importer }: { done: ImportProgress; digest: InputDigest; importer: BatchImporter },
): AsyncGenerator<ImportItem[]> {
  /** Whether all lines that are done have been skipped. */
  let isResumed = done.line === 0;
  /** The last of the skipped items, at most a batch. */
  let last: ImportItem[] = [];
  for await (const items of source) {
    if (isResumed) {
      yield items;
      continue;
    }
    const skipped = items.filter(({ line }) => line <= done.line);
    digest.add(skipped);
    last = [...last, ...skipped].slice(-MAX_BATCH);
    if (last.at(-1)?.line !== done.line) continue;
    isResumed = true;
    if (digest.value !== done.digest) throw inputChanged(done);
    await expectStored(importer, last, done);
    if (skipped.length < items.length) yield items.slice(skipped.length);
  }
  if (!isResumed) throw inputChanged(done);
}

/** Sending the entries again proves that they are stored, and needs no permission beyond that of importing. */
async function expectStored(
  importer: BatchImporter,
  items: readonly ImportItem[],
  { line }: ImportProgress,
): Promise<void> {
  const { counts } = await importer.importItems(items.filter((item) => "token" in item));
  if ((counts.created ?? 0) === 0) return;
  throw new Error(
    `the service lacks entries that were stored up to line ${line}: it is another service, or its database was restored; start over without --resume`,
  );
}

function inputChanged({ line }: ImportProgress): UsageError {
  return new UsageError(
    `the input is not that of the interrupted import: its first ${line} lines differ; start over without --resume, which is safe`,
  );
}
