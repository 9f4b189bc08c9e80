import type { Http2Session, ServerHttp2Stream } from "node:http2";
import type { Server } from "@grpc/grpc-js";
import { type Connection, type Connections, peerName } from "../connections.ts";
import { countingSocketOf } from "./field-counting-socket.ts";
import { http2ServersOf } from "./grpc-js-internals.ts";

/**
 * Tells `connections` what happens on each: that HTTP/2 is set up, and, until a caller is known on it, when calls begin and end. To be called
 * when the server has been given what it listens with.
 */
export function followConnections(server: Server, connections: Connections): void {
  const known = new WeakMap<Http2Session, Connection>();
  for (const http2Server of http2ServersOf(server)) {
    http2Server.prependListener("session", (session) => {
      const connection = connections.find(countingSocketOf(session)?.peer ?? peerName(session.socket));
      if (connection === undefined) return;
      known.set(session, connection);
      session.once("remoteSettings", () => connection.ready(() => session.destroy()));
    });
    http2Server.prependListener("stream", (stream: ServerHttp2Stream) => {
      const connection = stream.session && known.get(stream.session);
      if (connection !== undefined && !connection.isAuthenticated) stream.once("close", connection.begin());
    });
  }
}
