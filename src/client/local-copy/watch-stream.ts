import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { Client, ClientDuplexStream, Metadata, ServiceError } from "@grpc/grpc-js";
import {
  EntryKind,
  TokenBlacklist,
  type WatchRequest,
  type WatchResponse,
  type WatchResponse_Entries,
} from "../../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { methodDefinition } from "../../protobuf/service-definition.ts";
import { eachOf } from "../../token-index/columns.ts";
import { HASH_NAME } from "../../token-index/fingerprint.ts";
import { ClientError, malformedAnswer } from "../client-error.ts";
import { clientError } from "../grpc-error.ts";
import type { CopyCursor, Opened } from "./copied-entries.ts";

/** Maximum length of a revision in characters. The service's revisions have at most 33, and the copy keeps thousands of revisions. */
export const MAX_REVISION_LENGTH = 256;

const UNKNOWN_HASH = "the service makes fingerprints with a hash that this client does not know";

/** The events of a stream, in the order in which they arrive. */
export interface WatchListener {
  /** The service's time, in milliseconds since 1970; with every message. */
  onTime(time: number): void;
  /** A snapshot or changes follow. */
  onOpened(opened: Opened): void;
  /** An entry was added or extended; it stops being BLACKLISTED at `until`, in milliseconds since 1970. */
  onEntry(fingerprint: Int32Array, until: number): void;
  /** Every entry up to this revision has been sent. */
  onRevision(revision: string): void;
  /** The service has proven that everything acknowledged before the `sync` with this id has been sent. */
  onSynced(id: bigint): void;
  /** The service cannot currently prove that, for the reason in `error`. */
  onUnsynced(id: bigint, error: ClientError): void;
  /** The stream has ended; no further event follows. */
  onEnd(error: ClientError): void;
}

interface Setup {
  /** Absent: a snapshot is requested. */
  readonly cursor: CopyCursor | undefined;
  readonly metadata: Metadata;
  readonly listener: WatchListener;
}

/** One `Watch` stream. A message that violates the contract ends it. */
export class WatchStream {
  readonly #call: ClientDuplexStream<WatchRequest, WatchResponse>;
  readonly #listener: WatchListener;
  #isOpened = false;
  #hasEnded = false;

  constructor(grpc: Client, { cursor, metadata, listener }: Setup) {
    const { path, requestSerialize, responseDeserialize } = methodDefinition(TokenBlacklist.method.watch);
    this.#listener = listener;
    this.#call = grpc.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, metadata);
    this.#call.on("data", (response: WatchResponse) => this.#receive(response));
    this.#call.on("error", (error: ServiceError) => this.#end(clientError(error)));
    this.#call.on("end", () => this.#end(new ClientError("UNAVAILABLE", "the service has ended the stream")));
    const { revision = "", fingerprintKey: key = new Uint8Array() } = cursor ?? {};
    this.#write({ case: "start", value: { revision, key, entryKinds: [EntryKind.JTI] } });
  }

  /** Requests proof that the copy is current. Each id must be greater than the last. */
  sync(id: bigint): void {
    this.#write({ case: "sync", value: { id } });
  }

  /** Ends the stream with `error`. */
  cancel(error: ClientError): void {
    this.#end(error);
  }

  #write(request: { case: string; value: object }): void {
    // The serializer creates the message from these fields.
    if (!this.#hasEnded) this.#call.write({ request } as unknown as WatchRequest);
  }

  #receive({ time, response }: WatchResponse): void {
    if (this.#hasEnded) return;
    try {
      if (time === undefined) throw malformedAnswer("the service has sent a message without a time");
      this.#listener.onTime(timestampMs(time));
      // The listener may have cancelled the stream and dropped the copy, so the rest of the message is ignored.
      if (!this.#hasEnded) this.#dispatch(response);
    } catch (error) {
      const isClientError = error instanceof ClientError;
      this.#end(isClientError ? error : malformedAnswer(`the service has sent an invalid message: ${error}`));
    }
  }

  #dispatch(response: WatchResponse["response"]): void {
    if (response.case === "opened") {
      const { hash, snapshot, key } = response.value;
      if (hash !== HASH_NAME) throw new ClientError("UNIMPLEMENTED", UNKNOWN_HASH);
      this.#isOpened = true;
      this.#listener.onOpened({ isSnapshot: snapshot, fingerprintKey: key });
    } else if (response.case === "entries") {
      this.#takeEntries(response.value);
    } else if (response.case === "synced") {
      this.#listener.onSynced(response.value.id);
    } else if (response.case === "unsynced") {
      const { id, reason } = response.value;
      const error = new ClientError("UNAVAILABLE", "the copy cannot be proven current just now", { reason });
      this.#listener.onUnsynced(id, error);
    } else if (response.case !== "heartbeat") {
      // A copy must not ignore a kind of message that it does not know: its content may affect negatives.
      throw malformedAnswer("the service has sent an unknown kind of message");
    }
  }

  #takeEntries({ fingerprints, until, revision }: WatchResponse_Entries): void {
    if (!this.#isOpened) throw malformedAnswer("the service has sent entries before it sent their key");
    if (revision.length > MAX_REVISION_LENGTH)
      throw malformedAnswer(`the service has sent a revision of more than ${MAX_REVISION_LENGTH} characters`);
    eachOf({ fingerprints, until }, (fingerprint, time) => this.#listener.onEntry(fingerprint, time));
    if (revision !== "") this.#listener.onRevision(revision);
  }

  #end(error: ClientError): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#call.cancel();
    this.#listener.onEnd(error);
  }
}
