import { write, writeSync } from "node:fs";
import type { Clock } from "../time/clock.ts";

/**
 * Characters of buffered log lines while the log cannot be written. At most half of them are in lines that are neither audit lines nor
 * warnings. Enough for about five thousand audit lines, with bounded memory.
 */
export const MAX_BUFFERED_LENGTH = 2 * 1024 * 1024;
const MAX_BUFFERED_ORDINARY_LENGTH = MAX_BUFFERED_LENGTH / 2;
/** Characters of one write: the capacity of a pipe. */
const CHUNK_LENGTH = 64 * 1024;
/** The pause before a failed write is retried, which doubles with each failure. The reader of a pipe rarely needs longer than the first. */
const FIRST_RETRY_MS = 2;
const MAX_RETRY_MS = 250;

/** How many lines were dropped because they could not be written: audit lines, and all other lines. */
export interface DroppedLines {
  readonly audit: number;
  readonly other: number;
}

interface Setup {
  /** Written to without blocking: a pipe or socket must be in non-blocking mode. */
  readonly fd: number;
  readonly clock: Clock;
}

/** The property by which a destination asks pino for the metadata of each line. */
const METADATA: unique symbol = Symbol.for("pino.metadata");
/** The number of pino's level `warn`. */
const WARN = 40;

/**
 * The destination of the log. Never blocks or throws, and buffers a bounded number of lines while writes fail: because of a full disk, a
 * pipe that is not read, or a reader that is gone. Lines beyond the bound are dropped and counted, audit lines and warnings last, and the
 * next written line reports their number. Writing is retried as long as the process lives.
 */
export class LogOutput {
  readonly [METADATA] = true;
  /** The level and message of the next line, set by pino. */
  lastLevel = 0;
  lastMsg: unknown;
  readonly #setup: Setup;
  readonly #dropped = { audit: 0, other: 0 };
  /** The counts of dropped lines as of the last line that reported them. */
  #reported: DroppedLines = { audit: 0, other: 0 };
  #lines: string[] = [];
  #bufferedLength = 0;
  /** The rest of the lines that are being written. */
  #chunk: Buffer = Buffer.alloc(0);
  #isWriting = false;
  #retryMs = FIRST_RETRY_MS;
  #cancelRetry: (() => void) | undefined;
  #onWritten: (() => void)[] = [];

  constructor(setup: Setup) {
    this.#setup = setup;
  }

  /** How many lines were dropped since the start of the process. */
  get dropped(): DroppedLines {
    return this.#dropped;
  }

  write(line: string): void {
    const isAudit = this.lastMsg === "audit";
    const bound = isAudit || this.lastLevel >= WARN ? MAX_BUFFERED_LENGTH : MAX_BUFFERED_ORDINARY_LENGTH;
    if (this.#bufferedLength + line.length > bound) this.#dropped[isAudit ? "audit" : "other"]++;
    else {
      this.#lines.push(line);
      this.#bufferedLength += line.length;
    }
    if (!this.#isWriting && this.#cancelRetry === undefined) this.#writeMore();
  }

  /** Resolves when all lines have been written, or after `withinMs`. */
  flush(withinMs: number): Promise<void> {
    if (this.#isFlushed) return Promise.resolve();
    return new Promise((resolve) => {
      // Keeps the process alive until then, which the clock's timers do not.
      const awake = setInterval(() => {}, withinMs);
      const end = () => {
        clearInterval(awake);
        cancel();
        resolve();
      };
      const cancel = this.#setup.clock.schedule(withinMs, end);
      this.#onWritten.push(end);
    });
  }

  /** Writes synchronously as much as possible, at the exit of the process. */
  flushNow(): void {
    // A write in flight cannot be recalled, and its chunk must not be written twice.
    if (this.#isWriting) this.#chunk = Buffer.alloc(0);
    try {
      while (this.#takeChunk()) this.#chunk = this.#chunk.subarray(writeSync(this.#setup.fd, this.#chunk));
    } catch {
      // The lines cannot be written, and no later line could report them.
    }
  }

  /** How many lines were dropped that no line has reported yet. */
  get #unreported(): DroppedLines {
    return {
      audit: this.#dropped.audit - this.#reported.audit,
      other: this.#dropped.other - this.#reported.other,
    };
  }

  get #isFlushed(): boolean {
    const { audit, other } = this.#unreported;
    return !this.#isWriting && this.#chunk.length === 0 && this.#lines.length === 0 && audit + other === 0;
  }

  #writeMore(): void {
    if (!this.#takeChunk()) {
      for (const resolve of this.#onWritten.splice(0)) resolve();
      return;
    }
    this.#isWriting = true;
    write(this.#setup.fd, this.#chunk, 0, this.#chunk.length, null, (error, written) => {
      this.#isWriting = false;
      if (error) this.#retryLater();
      else {
        this.#chunk = this.#chunk.subarray(written);
        this.#retryMs = FIRST_RETRY_MS;
        this.#writeMore();
      }
    });
  }

  #retryLater(): void {
    this.#cancelRetry = this.#setup.clock.schedule(this.#retryMs, () => {
      this.#cancelRetry = undefined;
      this.#writeMore();
    });
    this.#retryMs = Math.min(this.#retryMs * 2, MAX_RETRY_MS);
  }

  /** The line that reports dropped lines before it. It is written at any LOG_LEVEL, as the dropped audit lines would have been. */
  #describe({ audit, other }: DroppedLines): string {
    const record = {
      level: "warn",
      time: new Date(this.#setup.clock.now()).toISOString(),
      dropped: audit + other,
      dropped_audit: audit,
      msg: "log lines were dropped: they could not be written",
    };
    return `${JSON.stringify(record)}\n`;
  }

  /** Ensures that there is a chunk to write. False if nothing is to be written. The rest of the last chunk comes first, so that no line is cut. */
  #takeChunk(): boolean {
    if (this.#chunk.length > 0) return true;
    const unreported = this.#unreported;
    let text = "";
    if (unreported.audit + unreported.other > 0) {
      text = this.#describe(unreported);
      this.#reported = { ...this.#dropped };
    }
    let count = 0;
    while (count < this.#lines.length && text.length < CHUNK_LENGTH) text += this.#lines[count++];
    for (const line of this.#lines.splice(0, count)) this.#bufferedLength -= line.length;
    this.#chunk = Buffer.from(text);
    return text !== "";
  }
}
