import { write, writeSync } from "node:fs";
import type { Clock } from "./clock.ts";
import {
  FIRST_LOG_RETRY_MS,
  LOG_CHUNK_LENGTH,
  MAX_LOG_RETRY_MS,
  MAX_WAITING_LOG,
  MAX_WAITING_ORDINARY_LOG,
} from "./limits.ts";

/** Lines that could not be written and are gone; those of the audit log by themselves. */
export interface DroppedLines {
  readonly audit: number;
  readonly other: number;
}

/** The line that stands where lines are missing, with its line break. */
export type DescribeGap = (dropped: DroppedLines) => string;

interface Setup {
  /** Written to without waiting: a pipe or a socket must be in non-blocking mode. */
  readonly fd: number;
  readonly clock: Clock;
  readonly describeGap: DescribeGap;
}

/** By this pino is asked to say of each line what it is. */
const METADATA: unique symbol = Symbol.for("pino.metadata");
/** pino's number for `warn`. */
const WARN = 40;

/**
 * Where the log goes. Never blocks, never throws, and holds a bounded number of lines while they cannot be written: a full disk, a pipe
 * that nobody reads, a reader that has gone. What does not fit is dropped and counted, audit lines and warnings last; the next line that
 * can be written says how many. Writing is tried again for as long as the process lives.
 */
export class LogOutput {
  readonly [METADATA] = true;
  /** Of the next line, as pino sets them. */
  lastLevel = 0;
  lastMsg: unknown;
  readonly #setup: Setup;
  readonly #dropped = { audit: 0, other: 0 };
  #told: DroppedLines = { audit: 0, other: 0 };
  #lines: string[] = [];
  #waitingLength = 0;
  /** What has been taken from the lines and is not written yet. */
  #chunk: Buffer = Buffer.alloc(0);
  #isWriting = false;
  #retryMs = FIRST_LOG_RETRY_MS;
  #cancelRetry: (() => void) | undefined;
  #onWritten: (() => void)[] = [];

  constructor(setup: Setup) {
    this.#setup = setup;
  }

  /** Since the start. */
  get dropped(): DroppedLines {
    return this.#dropped;
  }

  write(line: string): void {
    const isAudit = this.lastMsg === "audit";
    const most = isAudit || this.lastLevel >= WARN ? MAX_WAITING_LOG : MAX_WAITING_ORDINARY_LOG;
    if (this.#waitingLength + line.length > most) this.#dropped[isAudit ? "audit" : "other"]++;
    else {
      this.#lines.push(line);
      this.#waitingLength += line.length;
    }
    if (!this.#isWriting && this.#cancelRetry === undefined) this.#writeMore();
  }

  /** Resolves when everything is written, or after `withinMs`. */
  flush(withinMs: number): Promise<void> {
    if (this.#isDone) return Promise.resolve();
    return new Promise((resolve) => {
      // The clock's timers keep no process alive, and a write that is to be tried again does not, either.
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

  /** Writes what can be written at once, for the last moment of the process. */
  flushNow(): void {
    // What is being written is out of our hands, and must not be there twice.
    if (this.#isWriting) this.#chunk = Buffer.alloc(0);
    try {
      while (this.#takeChunk()) this.#chunk = this.#chunk.subarray(writeSync(this.#setup.fd, this.#chunk));
    } catch {
      // It cannot be written, and nobody is left to count it for.
    }
  }

  get #gap(): DroppedLines {
    return {
      audit: this.#dropped.audit - this.#told.audit,
      other: this.#dropped.other - this.#told.other,
    };
  }

  get #isDone(): boolean {
    const { audit, other } = this.#gap;
    return !this.#isWriting && this.#chunk.length === 0 && this.#lines.length === 0 && audit + other === 0;
  }

  #writeMore(): void {
    if (!this.#takeChunk()) {
      for (const tell of this.#onWritten.splice(0)) tell();
      return;
    }
    this.#isWriting = true;
    write(this.#setup.fd, this.#chunk, 0, this.#chunk.length, null, (error, written) => {
      this.#isWriting = false;
      if (error) this.#tryLater();
      else {
        this.#chunk = this.#chunk.subarray(written);
        this.#retryMs = FIRST_LOG_RETRY_MS;
        this.#writeMore();
      }
    });
  }

  #tryLater(): void {
    this.#cancelRetry = this.#setup.clock.schedule(this.#retryMs, () => {
      this.#cancelRetry = undefined;
      this.#writeMore();
    });
    this.#retryMs = Math.min(this.#retryMs * 2, MAX_LOG_RETRY_MS);
  }

  /** Sees that there is something to write, if anything waits. A chunk that is begun is ended first, so that no line is cut. */
  #takeChunk(): boolean {
    if (this.#chunk.length > 0) return true;
    const gap = this.#gap;
    let text = "";
    if (gap.audit + gap.other > 0) {
      text = this.#setup.describeGap(gap);
      this.#told = { ...this.#dropped };
    }
    let count = 0;
    while (count < this.#lines.length && text.length < LOG_CHUNK_LENGTH) text += this.#lines[count++];
    for (const line of this.#lines.splice(0, count)) this.#waitingLength -= line.length;
    this.#chunk = Buffer.from(text);
    return text !== "";
  }
}
