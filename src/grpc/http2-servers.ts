import type { Http2Server } from "node:http2";
import type { Server } from "@grpc/grpc-js";

/** What `server` listens with. Not in its types; there is no other way to a connection, or to a call before grpc-js has read its headers. */
export function http2ServersOf(server: Server): Iterable<Http2Server> {
  return (
    server as unknown as { readonly http2Servers: ReadonlyMap<Http2Server, unknown> }
  ).http2Servers.keys();
}
