// All access to members of grpc-js objects that its types do not declare. Nothing is served if they are missing.
import type { Http2Server, IncomingHttpHeaders, ServerHttp2Stream, ServerOptions } from "node:http2";
import type { Server, ServerInterceptingCallInterface } from "@grpc/grpc-js";

interface ServerInternals {
  readonly http2Servers: ReadonlyMap<Http2Server, unknown>;
  readonly commonServerOptions: ServerOptions;
}

/**
 * The HTTP/2 servers behind the listeners of `server`. There is no other access to connections, or to calls before grpc-js has read their
 * headers.
 */
export function http2ServersOf(server: Server): Iterable<Http2Server> {
  return internalsOf(server).http2Servers.keys();
}

/** The options with which `server` will create its HTTP/2 servers. The public options of grpc-js can set only the number of streams. */
export function http2OptionsOf(server: Server): ServerOptions {
  return internalsOf(server).commonServerOptions;
}

/** Removes the listener by which grpc-js receives the calls of `http2Server`. The returned function passes a call on to grpc-js. */
export function detachStreamListener(
  http2Server: Http2Server,
): (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void {
  const listeners = http2Server.listeners("stream");
  const [listener] = listeners;
  if (listener === undefined || listeners.length > 1) {
    throw new Error("this version of @grpc/grpc-js does not listen to its HTTP/2 server as expected");
  }
  http2Server.removeAllListeners("stream");
  return (stream, headers) => listener.call(http2Server, stream, headers);
}

function internalsOf(server: Server): ServerInternals {
  const internals = server as unknown as ServerInternals;
  if (internals.http2Servers === undefined || internals.commonServerOptions === undefined) {
    throw new Error("this version of @grpc/grpc-js does not show its HTTP/2 servers");
  }
  return internals;
}

/** The HTTP/2 stream of a call, and the encoding of its messages. Each is absent if grpc-js does not expose it. */
export function internalsOfCall(call: ServerInterceptingCallInterface): {
  readonly stream?: ServerHttp2Stream;
  readonly incomingEncoding?: string;
} {
  return call as ServerInterceptingCallInterface & ReturnType<typeof internalsOfCall>;
}
