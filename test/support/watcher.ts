import { fromBinary } from "@bufbuild/protobuf";
import type { ClientDuplexStream } from "@grpc/grpc-js";
import {
  EntryKind,
  TokenBlacklist,
  type WatchResponse,
  WatchResponseSchema,
} from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { encode } from "../../src/protobuf/service-definition.ts";
import { eachOf } from "../../src/token-index/columns.ts";
import { Fingerprinter } from "../../src/token-index/fingerprint.ts";
import type { RawCallOptions, RawChannel } from "./raw-channel.ts";
import { onEnd, type StreamEnd } from "./stream-end.ts";

export const WATCH_PATH = "/tokenblacklist.v1.TokenBlacklist/Watch";

export interface StartOptions {
  readonly revision?: string;
  readonly key?: Uint8Array;
  readonly entryKinds?: EntryKind[];
}

export function startMessage({
  revision = "",
  key = new Uint8Array(),
  entryKinds = [EntryKind.JTI],
}: StartOptions = {}): Buffer {
  const request = { case: "start", value: { revision, key, entryKinds } };
  return encode(TokenBlacklist.method.watch.input, { request });
}

/** A local copy implemented after docs/watch.md, without the client library's code, which records all messages. */
export class Watcher {
  readonly stream: ClientDuplexStream<Buffer, Buffer>;
  readonly messages: WatchResponse[] = [];
  readonly ended: Promise<StreamEnd>;
  /** The end of each entry's effect, by its fingerprint in hexadecimal. */
  readonly entries = new Map<string, number>();
  /** The last revision received with entries. */
  revision = "";
  key: Uint8Array = new Uint8Array();
  #fingerprinter: Fingerprinter | undefined;
  #lastId = 0n;
  #end: StreamEnd | undefined;
  readonly #waiting = new Set<() => void>();

  constructor(channel: RawChannel, options?: RawCallOptions) {
    this.stream = channel.open(WATCH_PATH, options);
    this.stream.on("data", (bytes: Buffer) => this.#receive(fromBinary(WatchResponseSchema, bytes)));
    this.ended = new Promise((resolve) => {
      onEnd(this.stream, (end) => {
        this.#end = end;
        this.#wake();
        resolve(end);
      });
    });
  }

  /** Opens a stream, by default without a revision, so that it begins with a snapshot. */
  static begin(
    channel: RawChannel,
    { start = {}, ...options }: { start?: StartOptions; authorization?: readonly string[] } = {},
  ): Watcher {
    const watcher = new Watcher(channel, options);
    watcher.start(start);
    return watcher;
  }

  start(options: StartOptions = {}): void {
    this.stream.write(startMessage(options));
  }

  send(request: { case: string; value: object }): void {
    this.stream.write(encode(TokenBlacklist.method.watch.input, { request }));
  }

  /** Sends a sync, and resolves with its response. */
  async sync(id = ++this.#lastId): Promise<"synced" | "unsynced"> {
    this.#lastId = id;
    this.send({ case: "sync", value: { id } });
    const answer = await this.message(
      ({ response }) =>
        (response.case === "synced" || response.case === "unsynced") && response.value.id >= id,
    );
    return answer.response.case as "synced" | "unsynced";
  }

  /** Resolves with the first matching message. Rejects if the stream ends without one. */
  async message(isIt: (message: WatchResponse) => boolean): Promise<WatchResponse> {
    let looked = 0;
    for (;;) {
      for (; looked < this.messages.length; looked++) {
        const message = this.messages[looked] as WatchResponse;
        if (isIt(message)) return message;
      }
      if (this.#end !== undefined) throw new Error(`ended: ${this.#end.code} ${this.#end.reason}`);
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
    }
  }

  /** Resolves when the snapshot is complete. */
  async complete(): Promise<this> {
    await this.message(({ response }) => response.case === "entries" && response.value.revision !== "");
    return this;
  }

  async opened(): Promise<{ snapshot: boolean; key: Uint8Array; entryCount: bigint; hash: string }> {
    const { response } = await this.message(({ response }) => response.case === "opened");
    if (response.case !== "opened") throw new Error("unreachable");
    const { snapshot, key, entryCount, hash } = response.value;
    return { snapshot, key, entryCount, hash };
  }

  /** The end of this jti's entry; 0 if the copy has none. */
  untilOf(jti: string): number {
    return this.entries.get(this.#printOf(jti)) ?? 0;
  }

  has(jti: string): boolean {
    return this.untilOf(jti) > 0;
  }

  /** The messages in order, without times and heartbeats. */
  get story(): string[] {
    return this.messages.flatMap(({ response }) => {
      if (response.case === "heartbeat") return [];
      if (response.case === "opened") return [response.value.snapshot ? "snapshot" : "changes"];
      if (response.case === "entries") {
        const { until, revision } = response.value;
        return [`${until.length / 8} entries${revision === "" ? "" : " complete"}`];
      }
      return [String(response.case)];
    });
  }

  cancel(): void {
    this.stream.cancel();
  }

  #printOf(jti: string): string {
    this.#fingerprinter ??= new Fingerprinter(this.key);
    return hex(this.#fingerprinter.hash(jti));
  }

  #receive(message: WatchResponse): void {
    const { response } = message;
    if (response.case === "opened") this.key = response.value.key;
    if (response.case === "entries") {
      eachOf(response.value, (fingerprint, until) => {
        const known = hex(fingerprint);
        this.entries.set(known, Math.max(until, this.entries.get(known) ?? 0));
      });
      if (response.value.revision !== "") this.revision = response.value.revision;
    }
    this.messages.push(message);
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }
}

function hex(fingerprint: Int32Array): string {
  return Buffer.from(fingerprint.buffer, fingerprint.byteOffset, 16).toString("hex");
}
