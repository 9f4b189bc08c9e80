import type { Http2Session, IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import type { Server } from "@grpc/grpc-js";
import { type Connection, type Connections, peerName } from "../connections/connections.ts";
import {
  LARGE_HEADER_BYTES,
  MAX_CALL_HEADER_BYTES,
  MAX_CONCURRENT_STREAMS,
  MAX_SETTINGS_FRAMES,
} from "../limits.ts";
import { CallSlices, type CallSource } from "./call-slices.ts";
import { countingSocketOf } from "./field-counting-socket.ts";
import { http2ServersOf, takeCalls } from "./grpc-js-internals.ts";
import { LargeHeaders, refuse } from "./large-headers.ts";
import { Reader, ReadingTurns, type Source } from "./reading-turns.ts";
import { copySparseChunks } from "./sparse-chunks.ts";

/**
 * Tells `connections` when HTTP/2 is set up on each connection and, until a caller is authenticated on it, when calls begin and end. Until
 * then it is read in turns, and its calls leave half of the processor to the others. To be called once the server has its
 * listeners.
 */
export function followConnections(
  server: Server,
  {
    connections,
    followed,
    hasRoomFor,
  }: {
    connections: Connections;
    /** Is filled with the connections. */
    followed: WeakMap<Http2Session, FollowedConnection>;
    /** Whether one more call of this caller to the method at `path` may wait for its message. */
    hasRoomFor: (path: string, caller: string) => boolean;
  },
): void {
  const [unauthenticated, late] = [new ReadingTurns(), new ReadingTurns()];
  const largeHeaders = new LargeHeaders();
  const readers = new PeriodicLooks();
  for (const http2Server of http2ServersOf(server)) {
    const begin = takeCalls(http2Server);
    const ofCallers = new CallSlices(begin);
    const ofStrangers = new CallSlices(begin, (slice, ms) => setTimeout(slice, ms));
    http2Server.prependListener("session", (session) => {
      const connection = connections.find(countingSocketOf(session)?.peer ?? peerName(session.socket));
      if (connection === undefined) return;
      const flooded = () => {
        // Destroyed immediately, so that the rest of the received data is not processed.
        session.destroy();
        connection.flooded();
      };
      const source = sourceOf(session);
      const reader = source && new Reader(source, { unauthenticated, late, flooded });
      followed.set(session, { connection, reader, flooded });
      connection.onAuthenticated = () => {
        reader?.authenticated();
        if (!session.destroyed) session.settings({ maxConcurrentStreams: MAX_CONCURRENT_STREAMS });
      };
      if (reader !== undefined) readers.add(reader);
      session.once("close", () => {
        if (reader === undefined) return;
        reader.closed();
        readers.delete(reader);
      });
      session.once("remoteSettings", () => connection.ready(() => session.destroy()));
      let settings = 0;
      session.on("remoteSettings", () => {
        reader?.endTurn();
        if (++settings > MAX_SETTINGS_FRAMES) flooded();
      });
    });
    http2Server.prependListener(
      "stream",
      (
        stream: ServerHttp2Stream,
        headers: IncomingHttpHeaders,
        _flags: number,
        raw: readonly string[] = [],
      ) => {
        copySparseChunks(stream);
        const { session } = stream;
        const found = session && followed.get(session);
        if (found === undefined) {
          begin(stream, headers);
          return;
        }
        const { connection, reader, flooded } = found;
        // Node.js enforces the limit only after the peer has acknowledged it, and so never for a peer that does not.
        const length = lengthOf(raw);
        if (length > MAX_CALL_HEADER_BYTES) flooded();
        const { isAuthenticated } = connection;
        reader?.callBegun(length);
        if (!isAuthenticated) {
          // Calls with large headers count several times, as they hold more memory.
          stream.once("close", connection.begin(1 + Math.floor(length / LARGE_HEADER_BYTES)));
          // gRPC has none in requests, and nothing bounds how many come.
          stream.once("trailers", flooded);
        }
        if (!largeHeaders.admit(stream, headers, length, connection)) return;
        if (
          reader?.hasManyLate &&
          reader.caller !== undefined &&
          !hasRoomFor(String(headers[":path"]), reader.caller)
        ) {
          refuse(stream);
          reader.rest();
          return;
        }
        (isAuthenticated ? ofCallers : ofStrangers).add(reader ?? UNHELD, stream, headers);
      },
    );
  }
}

/** An open connection. */
export interface FollowedConnection {
  readonly connection: Connection;
  /** Undefined if reading cannot be controlled. */
  readonly reader: Reader | undefined;
  /** Closes the connection, whose peer sends more than a well-behaved one does. */
  readonly flooded: () => void;
}

/** Interval at which connections are searched for input that raises no event. */
const LOOK_MS = 50;

/** Has readers look for input that raises no event. Keeps no timer without readers. */
class PeriodicLooks {
  readonly #readers = new Set<Reader>();
  #timer: NodeJS.Timeout | undefined;

  add(reader: Reader): void {
    this.#readers.add(reader);
    this.#timer ??= setInterval(() => {
      for (const each of this.#readers) each.checkUnexplained();
    }, LOOK_MS).unref();
  }

  delete(reader: Reader): void {
    this.#readers.delete(reader);
    if (this.#readers.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}

/** Connections that cannot be paused. Their calls wait together. */
const UNHELD: CallSource = { hold: () => {}, release: () => {} };

/** The length of the headers as SETTINGS_MAX_HEADER_LIST_SIZE counts it (RFC 9113, section 6.5.2). */
function lengthOf(raw: readonly string[]): number {
  let length = 16 * raw.length;
  for (const text of raw) length += text.length;
  return length;
}

/**
 * The handle that feeds a session its bytes; undefined if it has none that can be paused. Not in the types of Node.js, which offer no other
 * way to pause reading.
 */
function sourceOf(session: Http2Session): Source | undefined {
  const { _handle: handle } = session.socket as unknown as { readonly _handle?: Partial<Source> };
  return typeof handle?.readStart === "function" && typeof handle.readStop === "function"
    ? (handle as Source)
    : undefined;
}
