import { type FileHandle, rename, rm, stat } from "node:fs/promises";
import type { Clock } from "../time/clock.ts";
import { UsageError } from "./errors.ts";
import type { ListFilter } from "./list-filter.ts";
import { createPrivateFile, openPrivateFile, readPrivateFile, replacePrivateFile } from "./private-file.ts";

/** How often the state is written, which bounds what is fetched again after a kill. */
const STATE_INTERVAL_MS = 1000;

/** What the file contains, and where to resume. Saved as JSON. */
interface State {
  readonly version: 1;
  readonly filter: ListFilter;
  /** The token of the next page; empty before the first page, null after the last. */
  readonly pageToken: string | null;
  /** The numbers of entries and of bytes in the file. */
  readonly count: number;
  readonly bytes: number;
}

/**
 * A file that gets its name once it is complete. Until then it is `PATH.part`, and `PATH.part.state` holds how many bytes of it are
 * certainly on disk, and the next page.
 */
export class ExportFile {
  readonly #path: string;
  readonly #handle: FileHandle;
  readonly #clock: Clock;
  #state: State;
  /** When the state was last written, by the monotonic clock. */
  #savedAt: number;

  private constructor(path: string, handle: FileHandle, { clock, state }: { clock: Clock; state: State }) {
    this.#path = path;
    this.#handle = handle;
    this.#clock = clock;
    this.#state = state;
    this.#savedAt = clock.monotonic();
  }

  /** Throws a UsageError if the file cannot be written, or another export to it was begun. */
  static async create(path: string, options: { filter: ListFilter; clock: Clock }): Promise<ExportFile> {
    const { filter, clock } = options;
    await expectReplaceable(path);
    const handle = await openPart(path, createPrivateFile);
    const state: State = { version: 1, filter, pageToken: "", count: 0, bytes: 0 };
    const file = new ExportFile(path, handle, { clock, state });
    await file.#saveState();
    return file;
  }

  /** Resumes an export begun by `create`. Throws a UsageError if there is none. */
  static async resume(path: string, clock: Clock): Promise<ExportFile> {
    await expectReplaceable(path);
    const state = await readState(path);
    const handle = await openPart(path, (part) => openPrivateFile(part, "read and write"));
    const { size } = await handle.stat();
    if (size < state.bytes) {
      await handle.close();
      throw new UsageError(
        `${path}.part is shorter than recorded: delete it and ${path}.part.state, and start over without --resume`,
      );
    }
    // Removes what was written after the state; it is fetched again.
    await handle.truncate(state.bytes);
    return new ExportFile(path, handle, { clock, state });
  }

  get position(): Pick<State, "filter" | "pageToken" | "count"> {
    return this.#state;
  }

  /** Appends `text`, one page. `nextPageToken` is empty after the last page; `count` includes the entries of this page. */
  async write(text: string, page: { readonly nextPageToken: string; readonly count: number }): Promise<void> {
    const bytes = Buffer.from(text);
    let at = this.#state.bytes;
    for (let written = 0; written < bytes.length; ) {
      const { bytesWritten } = await this.#handle.write(bytes, written, bytes.length - written, at);
      written += bytesWritten;
      at += bytesWritten;
    }
    this.#state = { ...this.#state, pageToken: page.nextPageToken || null, count: page.count, bytes: at };
    if (this.#clock.monotonic() - this.#savedAt >= STATE_INTERVAL_MS) await this.#saveState();
  }

  /** Gives the complete file its name, replacing an older file. */
  async finish(): Promise<void> {
    await this.#handle.sync();
    await this.#handle.close();
    await rename(`${this.#path}.part`, this.#path);
    await rm(`${this.#path}.part.state`, { force: true });
  }

  /** Removes an export without any page, because there is nothing to resume. Returns whether it was removed. */
  async discardIfEmpty(): Promise<boolean> {
    if (this.#state.pageToken !== "" || this.#state.bytes > 0) return false;
    await this.#handle.close();
    await rm(`${this.#path}.part`, { force: true });
    await rm(`${this.#path}.part.state`, { force: true });
    return true;
  }

  /** Keeps an incomplete export for `--resume`. A failure to write the state, as on a full disk, must not lose the file. */
  async close(): Promise<void> {
    await this.#saveState().catch(() => {});
    await this.#handle.close().catch(() => {});
  }

  async #saveState(): Promise<void> {
    // The state never names data that may not be on disk yet.
    await this.#handle.datasync();
    await replacePrivateFile(`${this.#path}.part.state`, stateText(this.#state));
    this.#savedAt = this.#clock.monotonic();
  }
}

async function openPart(path: string, open: (part: string) => Promise<FileHandle>): Promise<FileHandle> {
  try {
    return await open(`${path}.part`);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EEXIST") {
      throw new UsageError(
        `another export to ${path} was interrupted or is running: use --resume, or delete ${path}.part`,
      );
    }
    throw new UsageError(`${path}.part cannot be written (${code})`);
  }
}

/** Throws a UsageError if `path` exists and is not a file. Called before the export, so that the export does not fail at its end. */
async function expectReplaceable(path: string): Promise<void> {
  const existing = await stat(path).catch(() => undefined);
  if (existing !== undefined && !existing.isFile()) throw new UsageError(`${path} is not a file`);
}

async function readState(path: string): Promise<State> {
  let text: string;
  try {
    text = await readPrivateFile(`${path}.part.state`);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new UsageError(
      `there is no export to ${path} to resume (${code} for ${path}.part.state): omit --resume`,
    );
  }
  try {
    const state = JSON.parse(text, reviveSeconds) as State;
    if (isState(state)) return state;
  } catch {
    // Reported below.
  }
  throw new UsageError(
    `${path}.part.state is damaged: delete it and ${path}.part, and start over without --resume`,
  );
}

function isState({ version, filter, pageToken, count, bytes }: State): boolean {
  return (
    version === 1 &&
    typeof filter === "object" &&
    filter !== null &&
    (pageToken === null || typeof pageToken === "string") &&
    [count, bytes].every((number) => Number.isSafeInteger(number) && number >= 0)
  );
}

// The filter's timestamps have `seconds` as bigints, which JSON does not support.
function stateText(state: State): string {
  return JSON.stringify(state, (_, value) => (typeof value === "bigint" ? String(value) : value));
}

function reviveSeconds(key: string, value: unknown): unknown {
  return key === "seconds" ? BigInt(value as string) : value;
}
