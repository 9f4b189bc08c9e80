import { Metadata } from "@grpc/grpc-js";
import { INDEX_RETRY_MS, SWEEP_INDEX_MS, WATCH_HEARTBEAT_MS } from "../../limits.ts";
import type { TokenInput } from "../checked-tokens.ts";
import { asClientError, ClientError, clientClosed, type StatusName } from "../client-error.ts";
import { CopiedEntries, type Opened } from "./copied-entries.ts";
import type { LocalCopy, LocalCopySetup } from "./local-copy.ts";
import { SyncRounds } from "./sync-rounds.ts";
import { type WatchListener, WatchStream } from "./watch-stream.ts";

/** Interval at which a copy is proven current if no check accepts less staleness, and the minimum interval. */
const PROOF_INTERVAL_MS = 1000;
const MIN_PROOF_INTERVAL_MS = 20;
/** A stream that has been silent for this long is closed, although its connection may be alive: proofs are requested every second. */
export const MAX_SILENCE_MS = 3000;
/** How long a stream may be silent while a snapshot is awaited: three heartbeats. */
const MAX_LOADING_SILENCE_MS = 3 * WATCH_HEARTBEAT_MS;
/** Maximum delay before a disconnected copy reconnects: at first, and after many failures. */
const WATCH_RETRY_MS = 100;
export const MAX_WATCH_RETRY_MS = 5000;
/** Maximum delay before a copy reconnects after a failure that only an operator can correct, such as a rejected credential. */
const PERMANENT_RETRY_MS = 60_000;
/**
 * Maximum number of tables in a copy: one for the blacklist that the service serves now, and one for each that it served before. A database
 * is replaced occasionally. But if a service sent a new key at each start, an unlimited copy would keep all entries and search all tables.
 */
export const MAX_COPY_TABLES = 8;
/** Timeout for obtaining the token with which a stream begins. */
const WATCH_TOKEN_MS = 5000;

/** Errors that an operator has to fix, so that retrying soon is useless. */
const PERMANENT: ReadonlySet<StatusName> = new Set([
  "UNIMPLEMENTED",
  "UNAUTHENTICATED",
  "PERMISSION_DENIED",
  "INVALID_ARGUMENT",
]);

/**
 * A local copy fed by one `Watch` stream. When a stream ends, another stream resumes at the copy's position. Meanwhile the copy keeps
 * its entries, and answers checks that accept its staleness.
 */
export class WatchedCopy implements LocalCopy, WatchListener {
  readonly #setup: LocalCopySetup;
  readonly #copy: CopiedEntries;
  readonly #syncRounds: SyncRounds;
  #stream: WatchStream | undefined;
  /** Whether the service has begun to send a snapshot or changes on this stream. */
  #isOpened = false;
  /** When the last message arrived, by the monotonic clock. */
  #lastMessageAt = 0;
  /** Failed streams since the last proof. */
  #failures = 0;
  /** The shortest staleness that any check has requested. */
  #minStalenessMs = Number.POSITIVE_INFINITY;
  #cancelRetry = () => {};
  #cancelProof = () => {};
  #cancelSweep = () => {};
  #isClosed = false;

  constructor(setup: LocalCopySetup) {
    this.#setup = setup;
    this.#copy = new CopiedEntries(setup.clock);
    this.#syncRounds = new SyncRounds({
      clock: setup.clock,
      send: (id) => this.#stream?.sync(id),
      onProven: (sentAt) => {
        this.#copy.recordProof(sentAt);
        this.#failures = 0;
        setup.onState("ready");
      },
      onFailed: (error) => this.#onProofFailed(error),
    });
    setup.onState("loading");
    void this.#connect();
    this.#sweepLater();
  }

  get isComplete(): boolean {
    return this.#copy.isComplete;
  }

  get version(): number {
    return this.#copy.version;
  }

  peek(token: TokenInput, maxStalenessMs = 0): boolean | undefined {
    if (maxStalenessMs <= 0) return this.#copy.isBlacklisted(token) || undefined;
    const seen = this.#copy.peek(token, maxStalenessMs);
    if (maxStalenessMs < this.#minStalenessMs && seen !== true && this.#copy.isComplete) {
      this.#minStalenessMs = maxStalenessMs;
      this.#proveLater();
    }
    return seen;
  }

  isBlacklisted(token: TokenInput): boolean {
    return this.#copy.isBlacklisted(token);
  }

  reflects(revision: string): boolean {
    return this.#copy.reflects(revision);
  }

  prove(): Promise<void> {
    return this.#canProve ? this.#syncRounds.prove() : Promise.reject(DISCONNECTED);
  }

  close(): void {
    this.#isClosed = true;
    this.#cancelRetry();
    this.#cancelProof();
    this.#cancelSweep();
    this.#stream?.cancel(clientClosed());
    this.#copy.drop();
  }

  onTime(time: number): void {
    this.#lastMessageAt = this.#setup.clock.monotonic();
    this.#copy.recordServiceTime(time);
    if (this.#copy.size > this.#setup.maxEntries) {
      this.#overflow("the copy of the blacklist is too large: checks ask the service. Raise maxCopyEntries");
    }
  }

  onOpened(opened: Opened): void {
    this.#isOpened = true;
    this.#copy.begin(opened);
    if (this.#copy.tableCount > MAX_COPY_TABLES) {
      this.#overflow(
        "the service has changed its fingerprint key too often for a copy: checks ask the service",
      );
      return;
    }
    if (opened.isSnapshot) this.#setup.onState("loading");
    else this.#proveNow();
  }

  onEntry(fingerprint: Int32Array, until: number): void {
    this.#copy.put(fingerprint, until);
  }

  onRevision(revision: string): void {
    const wasLoading = this.#copy.isLoading;
    this.#copy.recordRevision(revision);
    if (!wasLoading) return;
    this.#setup.log.info("the copy of the blacklist is complete", { entries: this.#copy.size });
    this.#proveNow();
  }

  onSynced(id: bigint): void {
    this.#syncRounds.onSynced(id);
  }

  onUnsynced(id: bigint, error: ClientError): void {
    this.#syncRounds.onUnsynced(id, error);
  }

  onEnd(error: ClientError): void {
    const { clock, log, onState, random } = this.#setup;
    this.#stream = undefined;
    this.#isOpened = false;
    this.#syncRounds.fail(DISCONNECTED);
    if (this.#isClosed) return;
    onState("unavailable", error);
    // Full jitter, so that gateways do not reconnect all at once.
    const waitMs = Math.max(Math.ceil(random() * this.#longestRetryDelay(error)), error.retryAfterMs ?? 0);
    const detail = error.detail ?? error.message;
    const details = { code: error.code, reason: error.reason, detail, retry_ms: waitMs };
    // Streams end in normal operation. If none can be opened, the client warns of the outage once.
    log.info("the copy of the blacklist is cut off", details);
    this.#cancelRetry = clock.schedule(waitMs, () => void this.#connect());
  }

  #longestRetryDelay({ code }: ClientError): number {
    if (PERMANENT.has(code)) return PERMANENT_RETRY_MS;
    return Math.min(MAX_WATCH_RETRY_MS, WATCH_RETRY_MS * 2 ** this.#failures++);
  }

  /** Drops the copy and retries later, when entries may have expired. */
  #overflow(message: string): void {
    const { log, maxEntries } = this.#setup;
    log.warn(message, { entries: this.#copy.size, max: maxEntries });
    this.#stream?.cancel(
      new ClientError("RESOURCE_EXHAUSTED", "the copy is too large", { retryAfterMs: INDEX_RETRY_MS }),
    );
    this.#copy.drop();
  }

  /** Whether a `sync` would be answered soon: not while a snapshot is awaited or being received. */
  get #canProve(): boolean {
    return this.#stream !== undefined && this.#isOpened && !this.#copy.isLoading && this.#copy.isComplete;
  }

  async #connect(): Promise<void> {
    const { authorization, clock, grpc } = this.#setup;
    this.#lastMessageAt = clock.monotonic();
    try {
      const metadata =
        authorization === undefined
          ? new Metadata()
          : await authorization({ timeoutMs: WATCH_TOKEN_MS, signal: undefined });
      if (this.#isClosed) return;
      this.#stream = new WatchStream(grpc, { cursor: this.#copy.cursor, metadata, listener: this });
      this.#proveLater();
    } catch (error) {
      this.onEnd(asClientError(error));
    }
  }

  #proveNow(): void {
    if (this.#canProve) void this.#syncRounds.prove();
    this.#proveLater();
  }

  /** Schedules three proofs within the shortest requested staleness, so that one may fail. */
  #proveLater(): void {
    this.#cancelProof();
    if (this.#isClosed || this.#stream === undefined) return;
    const waitMs = Math.min(PROOF_INTERVAL_MS, this.#minStalenessMs / 3);
    this.#cancelProof = this.#setup.clock.schedule(Math.max(MIN_PROOF_INTERVAL_MS, waitMs), () => {
      this.#endIfSilent();
      this.#proveNow();
    });
  }

  #onProofFailed(error: ClientError): void {
    const { log, onState } = this.#setup;
    onState("unavailable", error);
    log.info("the copy of the blacklist is not proven", { code: error.code, reason: error.reason });
    this.#endIfSilent();
  }

  /**
   * Ends a stream on which nothing arrives: the connection may be dead without having been closed. While a snapshot is awaited,
   * messages are rarer.
   */
  #endIfSilent(): void {
    const silentMs = this.#setup.clock.monotonic() - this.#lastMessageAt;
    const maxMs = this.#isOpened && this.#copy.isLoading ? MAX_LOADING_SILENCE_MS : MAX_SILENCE_MS;
    if (silentMs >= maxMs) this.#stream?.cancel(SILENT);
  }

  #sweepLater(): void {
    this.#cancelSweep = this.#setup.clock.schedule(SWEEP_INDEX_MS, () => {
      this.#copy.sweep();
      if (!this.#isClosed) this.#sweepLater();
    });
  }
}

const DISCONNECTED = new ClientError("UNAVAILABLE", "the copy of the blacklist is cut off from the service");
const SILENT = new ClientError("UNAVAILABLE", "no message has arrived from the service");
