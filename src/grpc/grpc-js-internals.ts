// What grpc-js has and its types do not show. Everything that rests on its inside stands here, and fails closed where it is not there.
import type { Http2Server, ServerHttp2Stream, ServerOptions } from "node:http2";
import type { Server, ServerInterceptingCallInterface } from "@grpc/grpc-js";

interface ServerInternals {
  readonly http2Servers: ReadonlyMap<Http2Server, unknown>;
  readonly commonServerOptions: ServerOptions;
}

/** What `server` listens with: there is no other way to a connection, or to a call before grpc-js has read its headers. */
export function http2ServersOf(server: Server): Iterable<Http2Server> {
  return internalsOf(server).http2Servers.keys();
}

/** What `server` will make the servers from that it listens with. Of these its own options can set the number of streams alone. */
export function http2OptionsOf(server: Server): ServerOptions {
  return internalsOf(server).commonServerOptions;
}

function internalsOf(server: Server): ServerInternals {
  const internals = server as unknown as ServerInternals;
  if (internals.http2Servers === undefined || internals.commonServerOptions === undefined) {
    throw new Error("this version of @grpc/grpc-js does not show its HTTP/2 servers");
  }
  return internals;
}

/** What brings a call, and what its messages are compressed with. Each is absent where grpc-js does not show it. */
export function internalsOfCall(call: ServerInterceptingCallInterface): {
  readonly stream?: ServerHttp2Stream;
  readonly incomingEncoding?: string;
} {
  return call as ServerInterceptingCallInterface & ReturnType<typeof internalsOfCall>;
}
