import { once } from "node:events";
import {
  type ClientHttp2Session,
  connect,
  createServer,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from "node:http2";
import type { AddressInfo } from "node:net";

/** The proxy's reaction to a stream: a response of its own, a reset, or a request that is buffered until it is complete. */
export type Refusal = "404" | "reset" | "buffered";

/** An HTTP/2 proxy on loopback that passes calls unchanged, and no stream of `StreamChecks`. */
export async function startUnaryProxy(
  address: string,
  refusal: Refusal,
): Promise<{ readonly address: string; stop(): void }> {
  const upstream = connect(`http://${address}`);
  upstream.on("error", () => {});
  const server = createServer();
  server.on("session", (session) => server.once("stop", () => session.destroy()));
  server.on("stream", (stream, headers) => {
    stream.on("error", () => {});
    if (!headers[":path"]?.endsWith("/StreamChecks")) pass(stream, headers, upstream);
    else if (refusal === "404") stream.respond({ ":status": 404 }, { endStream: true });
    else if (refusal === "reset") stream.close(2);
    else stream.resume();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    stop() {
      server.close();
      server.emit("stop");
      upstream.destroy();
    },
  };
}

function pass(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, upstream: ClientHttp2Session): void {
  const onward = upstream.request(headers);
  onward.on("error", () => stream.close(2));
  onward.on("response", (answer) => stream.respond(answer, { waitForTrailers: true }));
  let trailers: IncomingHttpHeaders = {};
  onward.on("trailers", (last) => {
    trailers = last;
  });
  stream.on("wantTrailers", () => stream.sendTrailers(trailers));
  stream.pipe(onward).pipe(stream);
}
