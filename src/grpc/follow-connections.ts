import type { Http2Session, IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import type { Server } from "@grpc/grpc-js";
import { type Connection, type Connections, peerName } from "../connections/connections.ts";
import {
  LARGE_HEADER_BYTES,
  MAX_CALL_HEADER_BYTES,
  MAX_CONCURRENT_STREAMS,
  MAX_SETTINGS_FRAMES,
} from "../limits.ts";
import { CallSlices, type PausableConnection } from "./call-slices.ts";
import { fieldCountingSocketOf } from "./field-counting-socket.ts";
import { detachStreamListener, http2ServersOf } from "./grpc-js-internals.ts";
import { LargeHeaders, refuse } from "./large-headers.ts";
import { Reader, ReadingTurns, type Source } from "./reading-turns.ts";
import { copySmallChunks } from "./small-chunks.ts";

/**
 * Tells `connections` when HTTP/2 is set up on each connection and, until a caller is authenticated on it, when calls begin and end. Until
 * then, the connection is read in turns with the other unauthenticated connections, and the calls of all of them together use at most half
 * of the processor. Call this after grpc-js has added its event listeners to the HTTP/2 servers.
 */
export function followConnections(
  server: Server,
  {
    connections,
    followed,
    hasRoomFor,
  }: {
    connections: Connections;
    /** Empty. Each connection is added when its HTTP/2 session begins. */
    followed: WeakMap<Http2Session, FollowedConnection>;
    /** Whether one more call of this caller to the method at `path` may wait for its message. */
    hasRoomFor: (path: string, caller: string) => boolean;
  },
): void {
  const turns = { unauthenticated: new ReadingTurns(), authenticated: new ReadingTurns() };
  const largeHeaders = new LargeHeaders();
  const readers = new PeriodicInputChecks();
  for (const http2Server of http2ServersOf(server)) {
    const passToGrpcJs = detachStreamListener(http2Server);
    const authenticatedCalls = new CallSlices(passToGrpcJs);
    const unauthenticatedCalls = new CallSlices(passToGrpcJs, (nextSlice, lastSliceMs) =>
      setTimeout(nextSlice, lastSliceMs),
    );
    http2Server.prependListener("session", (session) => {
      // A session over a FieldCountingSocket has no remote address itself. No connection is found if it has been closed meanwhile.
      const connection = connections.find(fieldCountingSocketOf(session)?.peer ?? peerName(session.socket));
      if (connection === undefined) return;
      const closeAsFlooding = () => {
        // Destroyed immediately, so that the rest of the received data is not processed.
        session.destroy();
        connection.closeAsFlooding();
      };
      const source = sourceOf(session);
      const reader = source && new Reader(source, { turns, closeAsFlooding });
      followed.set(session, { connection, reader, closeAsFlooding });
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
      // Unlike destroying the socket, this sends the peer a GOAWAY frame.
      session.once("remoteSettings", () => connection.ready({ closeGracefully: () => session.destroy() }));
      let settingsFrames = 0;
      session.on("remoteSettings", () => {
        reader?.endTurn();
        if (++settingsFrames > MAX_SETTINGS_FRAMES) closeAsFlooding();
      });
    });
    http2Server.prependListener(
      "stream",
      (
        stream: ServerHttp2Stream,
        headers: IncomingHttpHeaders,
        _flags: number,
        rawHeaders: readonly string[] = [],
      ) => {
        copySmallChunks(stream);
        const { session } = stream;
        const found = session && followed.get(session);
        if (found === undefined) {
          passToGrpcJs(stream, headers);
          return;
        }
        const { connection, reader, closeAsFlooding } = found;
        // Node.js enforces this limit only once the peer has acknowledged it, which a hostile peer does not do.
        const length = lengthOf(rawHeaders);
        if (length > MAX_CALL_HEADER_BYTES) closeAsFlooding();
        const { isAuthenticated } = connection;
        reader?.callBegun(length);
        if (!isAuthenticated) {
          // Calls with large headers count several times, as they hold more memory.
          stream.once("close", connection.beginCall(1 + Math.floor(length / LARGE_HEADER_BYTES)));
          // gRPC requests have no trailers, and nothing else bounds how many a client sends.
          stream.once("trailers", closeAsFlooding);
        }
        if (!largeHeaders.admit(stream, headers, length, connection)) return;
        const { authorization } = headers;
        if (
          reader?.hasManyLateMessages &&
          reader.caller !== undefined &&
          // If the peer is a proxy, a call with another credential may come from another caller, and is not refused.
          reader.authorization === authorization &&
          !hasRoomFor(String(headers[":path"]), reader.caller)
        ) {
          refuse(stream);
          reader.pauseAfterRefusal();
          return;
        }
        if (reader !== undefined) reader.authorization ??= authorization;
        const calls = isAuthenticated ? authenticatedCalls : unauthenticatedCalls;
        calls.add(reader ?? NEVER_PAUSED, stream, headers);
      },
    );
  }
}

/** An open connection. */
export interface FollowedConnection {
  readonly connection: Connection;
  /** Undefined if the connection cannot be paused. */
  readonly reader: Reader | undefined;
  /** Closes the connection, whose peer sends more than a well-behaved one does. */
  readonly closeAsFlooding: () => void;
}

/** Interval at which connections are checked for input for which Node.js emits no event, such as PING frames. */
const INPUT_CHECK_MS = 50;

/** Checks all connections for input for which Node.js emits no event. They share one timer, which runs only while there are connections. */
class PeriodicInputChecks {
  readonly #readers = new Set<Reader>();
  #timer: NodeJS.Timeout | undefined;

  add(reader: Reader): void {
    this.#readers.add(reader);
    this.#timer ??= setInterval(() => {
      for (const each of this.#readers) each.checkInputWithoutEvents();
    }, INPUT_CHECK_MS).unref();
  }

  delete(reader: Reader): void {
    this.#readers.delete(reader);
    if (this.#readers.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}

/** Stands for all connections that cannot be paused: they share one queue of waiting calls. */
const NEVER_PAUSED: PausableConnection = { pauseReading: () => {}, resumeReading: () => {} };

/** The length of the headers as SETTINGS_MAX_HEADER_LIST_SIZE counts it (RFC 9113, section 6.5.2). */
function lengthOf(rawHeaders: readonly string[]): number {
  let length = 16 * rawHeaders.length;
  for (const text of rawHeaders) length += text.length;
  return length;
}

/**
 * The handle from which a session reads its bytes; undefined if the session has no handle that can be paused. Node.js does not document the
 * handle, but offers no other way to pause reading.
 */
function sourceOf(session: Http2Session): Source | undefined {
  const { _handle: handle } = session.socket as unknown as { readonly _handle?: Partial<Source> };
  return typeof handle?.readStart === "function" && typeof handle.readStop === "function"
    ? (handle as Source)
    : undefined;
}
