import { once } from "node:events";
import { type ClientHttp2Session, connect } from "node:http2";
import { status } from "@grpc/grpc-js";
import type { StatusName } from "../../src/client/client-error.ts";

export interface Http2Answer {
  /** Undefined if the stream ended without a gRPC status. */
  readonly code: StatusName | undefined;
  /** Percent-encoded, as on the wire. */
  readonly message: string;
  readonly details: Buffer | undefined;
  /** The request encodings that the server advertises; undefined if none. */
  readonly accepts: string | undefined;
}

/** A bare HTTP/2 connection, for requests that no gRPC client sends. */
export class Http2Connection {
  readonly session: ClientHttp2Session;

  private constructor(session: ClientHttp2Session) {
    this.session = session;
    this.session.on("error", () => {});
  }

  /** Resolves once the server has sent its stream limit: streams above it would be refused, not queued. */
  static async open(address: string): Promise<Http2Connection> {
    const connection = new Http2Connection(
      // In MB. Node.js's own limit would reset streams on this side.
      connect(`http://${address}`, { maxSessionMemory: 1000 }),
    );
    await once(connection.session, "remoteSettings");
    return connection;
  }

  /** Sends one gRPC call with `body` unchanged, framing included. */
  send(path: string, body: Uint8Array, headers: Readonly<Record<string, string>> = {}): Promise<Http2Answer> {
    const stream = this.session.request({
      ":method": "POST",
      ":path": path,
      "content-type": "application/grpc",
      te: "trailers",
      ...headers,
    });
    let answer: Http2Answer = { code: undefined, message: "", details: undefined, accepts: undefined };
    const read = (fields: Record<string, unknown>) => {
      if (fields["grpc-status"] === undefined) return;
      const details = fields["grpc-status-details-bin"];
      answer = {
        code: status[Number(fields["grpc-status"])] as StatusName,
        message: String(fields["grpc-message"] ?? ""),
        details: details === undefined ? undefined : Buffer.from(String(details), "base64"),
        accepts: fields["grpc-accept-encoding"] as string | undefined,
      };
    };
    stream.on("response", read);
    stream.on("trailers", read);
    stream.on("error", () => {});
    stream.resume();
    stream.end(body);
    return new Promise((resolve) => stream.once("close", () => resolve(answer)));
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      if (this.session.destroyed) resolve();
      else this.session.once("close", resolve).destroy();
    });
  }
}

/** A message in gRPC framing: a flag, the length, the bytes. */
export function framed(message: Uint8Array, { compressed = false, length = message.length } = {}): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt8(compressed ? 1 : 0, 0);
  head.writeUInt32BE(length, 1);
  return Buffer.concat([head, message]);
}
