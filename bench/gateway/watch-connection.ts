import { type ClientHttp2Session, connect } from "node:http2";
import {
  EntryKind,
  TokenBlacklist,
  type WatchRequest,
  type WatchResponse,
} from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { methodDefinition } from "../../src/protobuf/service-definition.ts";
import { framed, PREFIX_BYTES } from "../stage/grpc-client.ts";

/** A copy's interval between requests for proof. */
const SYNC_MS = 1000;

const { path, requestSerialize, responseDeserialize } = methodDefinition(TokenBlacklist.method.watch);

/** The position at which a copy resumes. */
export interface Cursor {
  revision: string;
  key: Uint8Array;
}

/** A connection with one `Watch` stream that requests proof like a copy and stores nothing: hundreds fit into one process. */
export class WatchConnection {
  readonly #session: ClientHttp2Session;
  readonly #cursor: Cursor;
  readonly #onProgress: () => void;
  readonly #syncing: NodeJS.Timeout;
  #rest: Buffer = Buffer.alloc(0);
  isOpened = false;
  /** The number of the last revision received. */
  revision = 0;

  /** Begins at `cursor`, and advances it. */
  constructor(port: number, { cursor, onProgress }: { cursor: Cursor; onProgress: () => void }) {
    this.#cursor = cursor;
    this.#onProgress = onProgress;
    this.#session = connect(`http://127.0.0.1:${port}`, { settings: { enablePush: false } });
    const stream = this.#session.request({
      ":method": "POST",
      ":path": path,
      "content-type": "application/grpc",
      te: "trailers",
    });
    const write = (request: object) => stream.write(framed(requestSerialize({ request } as WatchRequest)));
    write({ case: "start", value: { ...cursor, entryKinds: [EntryKind.JTI] } });
    let id = 0n;
    this.#syncing = setInterval(() => write({ case: "sync", value: { id: ++id } }), SYNC_MS);
    stream.on("data", (chunk: Buffer) => this.#read(chunk));
    stream.on("error", fail);
    this.#session.on("error", fail);
  }

  close(): void {
    clearInterval(this.#syncing);
    this.#session.destroy();
  }

  #read(chunk: Buffer): void {
    let bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    while (bytes.length >= PREFIX_BYTES) {
      const end = PREFIX_BYTES + bytes.readUInt32BE(1);
      if (bytes.length < end) break;
      this.#take(decoded(bytes.subarray(PREFIX_BYTES, end)));
      bytes = bytes.subarray(end);
    }
    this.#rest = bytes;
  }

  #take({ response }: WatchResponse): void {
    if (response.case === "opened") {
      this.isOpened = true;
      this.#cursor.key = response.value.key;
    } else if (response.case === "entries" && response.value.revision !== "") {
      this.#cursor.revision = response.value.revision;
      this.revision = Number.parseInt(response.value.revision, 10);
    } else return;
    this.#onProgress();
  }
}

let last: { readonly bytes: Buffer; readonly message: WatchResponse } | undefined;

/** Caches decoded messages: all streams are sent the same changes, and decoding each would take longer than sending it. */
function decoded(bytes: Buffer): WatchResponse {
  if (last?.bytes.equals(bytes)) return last.message;
  last = { bytes, message: responseDeserialize(bytes) as WatchResponse };
  return last.message;
}

function fail(error: Error): void {
  throw error;
}
