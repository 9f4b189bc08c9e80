import type { Http2Session, ServerHttp2Stream } from "node:http2";
import type { Server } from "@grpc/grpc-js";
import { type Connection, type Connections, peerName } from "../connections/connections.ts";
import { MAX_CALL_HEADER_BYTES, MAX_CONCURRENT_STREAMS, MAX_SETTINGS_FRAMES } from "../limits.ts";
import { countingSocketOf } from "./field-counting-socket.ts";
import { http2ServersOf } from "./grpc-js-internals.ts";
import type { Reader, ReadingTurns, Source } from "./reading-turns.ts";

/**
 * Tells `connections` when HTTP/2 is set up on each connection and, until a caller is authenticated on it, when calls begin and end. Until
 * then `turns` controls how it is read. To be called once the server has its listeners.
 */
export function followConnections(
  server: Server,
  { connections, turns }: { connections: Connections; turns: ReadingTurns },
): void {
  const known = new WeakMap<Http2Session, Followed>();
  for (const http2Server of http2ServersOf(server)) {
    http2Server.prependListener("session", (session) => {
      const connection = connections.find(countingSocketOf(session)?.peer ?? peerName(session.socket));
      if (connection === undefined) return;
      const flooded = () => {
        // Destroyed immediately, so that the rest of the received data is not processed.
        session.destroy();
        connection.flooded();
      };
      const source = sourceOf(session);
      const reader = source && turns.admit(source, flooded);
      known.set(session, { connection, reader, flooded });
      connection.onAuthenticated = () => {
        reader?.free();
        if (!session.destroyed) session.settings({ maxConcurrentStreams: MAX_CONCURRENT_STREAMS });
      };
      session.once("close", () => reader?.closed());
      session.once("remoteSettings", () => connection.ready(() => session.destroy()));
      let settings = 0;
      session.on("remoteSettings", () => {
        reader?.heard();
        if (++settings > MAX_SETTINGS_FRAMES) flooded();
      });
    });
    http2Server.prependListener(
      "stream",
      (stream: ServerHttp2Stream, _headers: object, _flags: number, raw: readonly string[] = []) => {
        const { session } = stream;
        const found = session && known.get(session);
        if (found === undefined) return;
        // Node.js enforces the limit only after the peer has acknowledged it, and so never for a peer that does not.
        if (lengthOf(raw) > MAX_CALL_HEADER_BYTES) found.flooded();
        if (found.connection.isAuthenticated) return;
        found.reader?.begun();
        stream.once("close", found.connection.begin());
        // gRPC has none in requests, and nothing bounds how many come.
        stream.once("trailers", found.flooded);
      },
    );
  }
}

interface Followed {
  readonly connection: Connection;
  readonly reader: Reader | undefined;
  /** Closes the connection. */
  readonly flooded: () => void;
}

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
