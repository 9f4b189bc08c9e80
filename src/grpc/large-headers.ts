import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import { FairCapacity } from "../admission/fair-capacity.ts";
import type { Connection } from "../connections/connections.ts";
import { LARGE_HEADER_BYTES, MAX_LARGE_HEADERS_BYTES } from "../limits.ts";

/** Headers that are kept at any length: the credential, those of tracing, and those that grpc-js reads. */
const READ_HEADERS = new Set(["authorization", "baggage", "content-type", "traceparent", "tracestate"]);
/** Unread headers of at most this length are kept, because tracing propagators other than W3C's have headers of their own. */
const MAX_UNREAD_HEADER_BYTES = 256;
/** After this many bytes of large headers, a garbage collection is suggested to V8. */
const COLLECT_AFTER_BYTES = 32 * 1024 * 1024;
/** More external memory than V8 lets a process take between two major collections. */
const PRESSURE_BYTES = 68 * 1024 * 1024;

/**
 * Bounds the memory of large headers. All calls on authenticated connections share one capacity of MAX_LARGE_HEADERS_BYTES. Calls on
 * unauthenticated connections share another of the same size, in which they are not distinguished: their caller is "".
 */
export class LargeHeaders {
  readonly #authenticatedCapacity = new FairCapacity(MAX_LARGE_HEADERS_BYTES);
  readonly #unauthenticatedCapacity = new FairCapacity(MAX_LARGE_HEADERS_BYTES);
  /** Bytes of large headers received since a collection was last suggested. */
  #received = 0;

  /**
   * Removes the long headers of a call that are never read and, if the others are still large, reserves capacity for them while the stream is
   * open. Without capacity, refuses the call and returns false. `length` is the total length of the headers.
   */
  admit(
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
    length: number,
    { isAuthenticated, caller }: Connection,
  ): boolean {
    if (length <= LARGE_HEADER_BYTES) return true;
    this.#received += length;
    if (this.#received > COLLECT_AFTER_BYTES) {
      this.#received = 0;
      suggestCollection();
    }
    const kept = length - removeUnread(headers);
    if (kept <= LARGE_HEADER_BYTES) return true;
    const capacity = isAuthenticated ? this.#authenticatedCapacity : this.#unauthenticatedCapacity;
    const share = capacity.take(caller, kept);
    if (share === undefined) refuse(stream);
    else stream.once("close", () => capacity.giveBack(share, caller, kept));
    return share !== undefined;
  }
}

/** Refuses a call before any of it is processed, so that it is safe to retry (RFC 9113, section 8.7). Clients of gRPC report UNAVAILABLE. */
export function refuse(stream: ServerHttp2Stream): void {
  stream.on("error", () => {});
  stream.close(constants.NGHTTP2_REFUSED_STREAM);
}

/** Removes long headers that are never read. Returns their length. */
function removeUnread(headers: IncomingHttpHeaders): number {
  let removed = 0;
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined || value.length <= MAX_UNREAD_HEADER_BYTES) continue;
    if (READ_HEADERS.has(name) || name.startsWith(":") || name.startsWith("grpc-")) continue;
    delete headers[name];
    removed += value.length;
  }
  return removed;
}

/**
 * Makes V8 begin an incremental major collection. Node.js keeps each header's value outside of V8's heap until such a collection. V8 begins
 * one by itself after 64 MiB of such memory, and counts the buffer allocated here, whose pages are never touched, as if it were used.
 */
function suggestCollection(): void {
  try {
    new ArrayBuffer(PRESSURE_BYTES);
  } catch {
    // There is no address space for the buffer: V8 begins a collection by itself.
  }
}
