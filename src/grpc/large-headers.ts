import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import { FairCapacity } from "../admission/fair-capacity.ts";
import type { Connection } from "../connections/connections.ts";
import { LARGE_HEADER_BYTES, MAX_LARGE_HEADERS_BYTES } from "../limits.ts";

/** Long headers that are read: the credential, what tracing takes from its caller, and what grpc-js reads. */
const READ_HEADERS = new Set(["authorization", "baggage", "content-type", "traceparent", "tracestate"]);
/** Shorter ones are kept: propagators of tracing other than W3C's have headers of their own. */
const UNREAD_HEADER_BYTES = 256;
/** Bytes of large headers after which their memory is collected. */
const COLLECTED_BYTES = 32 * 1024 * 1024;
/** More external memory than V8 lets a process take between two major collections. */
const PRESSURE_BYTES = 68 * 1024 * 1024;

/**
 * Bounds the memory of large headers. Callers share one room of MAX_LARGE_HEADERS_BYTES, and calls that begin before a caller is
 * authenticated another of the same size.
 */
export class LargeHeaders {
  readonly #ofCallers = new FairCapacity(MAX_LARGE_HEADERS_BYTES);
  readonly #ofStrangers = new FairCapacity(MAX_LARGE_HEADERS_BYTES);
  /** Bytes received since their memory was last collected. */
  #received = 0;

  /**
   * Removes the long headers of a call that are not read, and reserves room for the others while its stream is open. If there is no room,
   * refuses the call and returns false. `length` is the length of the headers.
   */
  admit(
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
    length: number,
    { isAuthenticated, caller }: Connection,
  ): boolean {
    if (length <= LARGE_HEADER_BYTES) return true;
    this.#received += length;
    if (this.#received > COLLECTED_BYTES) {
      this.#received = 0;
      suggestCollection();
    }
    const kept = length - removeUnread(headers);
    if (kept <= LARGE_HEADER_BYTES) return true;
    const capacity = isAuthenticated ? this.#ofCallers : this.#ofStrangers;
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
    if (value === undefined || value.length <= UNREAD_HEADER_BYTES) continue;
    if (READ_HEADERS.has(name) || name.startsWith(":") || name.startsWith("grpc-")) continue;
    delete headers[name];
    removed += value.length;
  }
  return removed;
}

/**
 * Has V8 begin a major collection, incrementally. Node.js keeps each header's value outside of V8's heap until one, and V8 begins one after 64 MiB by
 * itself. It counts this buffer, whose pages are never touched, as if they were used.
 */
function suggestCollection(): void {
  try {
    new ArrayBuffer(PRESSURE_BYTES);
  } catch {
    // There is no address space for it: V8 begins a collection by itself.
  }
}
