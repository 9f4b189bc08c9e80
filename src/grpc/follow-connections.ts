import type { Http2Session, ServerHttp2Stream } from "node:http2";
import type { Server } from "@grpc/grpc-js";
import { type Connection, type Connections, peerName } from "../connections.ts";
import { MAX_CALL_HEADER_BYTES, MAX_CONCURRENT_STREAMS, MAX_SETTINGS_FRAMES } from "../limits.ts";
import { countingSocketOf } from "./field-counting-socket.ts";
import { http2ServersOf } from "./grpc-js-internals.ts";
import type { Reader, ReadingTurns, Source } from "./reading-turns.ts";

/**
 * Tells `connections` what happens on each: that HTTP/2 is set up, and, until a caller is known on it, when calls begin and end. Until then it is
 * read by `turns`. To be called when the server has been given what it listens with.
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
        // At once: what it has sent is not read to its end.
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
        // Node.js keeps to the bound once the peer has acknowledged it, and so to none for whoever does not.
        if (lengthOf(raw) > MAX_CALL_HEADER_BYTES) found.flooded();
        if (found.connection.isAuthenticated) return;
        found.reader?.begun();
        stream.once("close", found.connection.begin());
      },
    );
  }
}

interface Followed {
  readonly connection: Connection;
  readonly reader: Reader | undefined;
  /** Closes it. */
  readonly flooded: () => void;
}

/** Of headers, as SETTINGS_MAX_HEADER_LIST_SIZE counts them (RFC 9113, section 6.5.2). */
function lengthOf(raw: readonly string[]): number {
  let length = 16 * raw.length;
  for (const text of raw) length += text.length;
  return length;
}

/** What brings the bytes to a session. Not in its types; there is no other way to have it read less. Undefined: it reads as it likes. */
function sourceOf(session: Http2Session): Source | undefined {
  const { _handle: handle } = session.socket as unknown as { readonly _handle?: Partial<Source> };
  return typeof handle?.readStart === "function" && typeof handle.readStop === "function"
    ? (handle as Source)
    : undefined;
}
