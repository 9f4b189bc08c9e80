import { once } from "node:events";
import { type ClientHttp2Session, connect } from "node:http2";
import { Duplex } from "node:stream";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { status } from "@grpc/grpc-js";
import type { StatusName } from "../../src/client/client-error.ts";
import type { CertificateAndKey } from "./certificates.ts";
import { framed } from "./http2-call.ts";
import { addressOf, type Fields, FRAME, fieldBlock, frame } from "./raw-http2.ts";

export interface RawCallAnswer {
  /** OK as soon as a message arrived; UNKNOWN if the call ended without a gRPC status. */
  readonly code: StatusName;
  /** Percent-encoded, as on the wire. */
  readonly message: string;
  /** The first response message, without its framing. */
  readonly bytes?: Buffer;
}

interface Connect {
  /** The CA of the service's certificate. */
  readonly ca: string;
  readonly own?: CertificateAndKey | undefined;
}

interface CallOptions {
  /** Called when the headers have been sent; the body is sent when this resolves. */
  readonly beforeBody?: () => Promise<unknown>;
  /** The size of the frames into which the header block is split. */
  readonly cut?: number;
  /** Bytes of padding, and whether the frame has a stream dependency. */
  readonly padding?: number;
  readonly hasPriority?: boolean;
}

/** Calls over TLS with hand-made header frames, whose responses Node.js parses. */
export class RawCalls {
  readonly socket: TLSSocket;
  readonly #session: ClientHttp2Session;
  readonly #out: HeaderReplacement;

  private constructor(socket: TLSSocket) {
    this.socket = socket;
    this.#out = new HeaderReplacement(socket);
    this.#session = connect("https://localhost", { createConnection: () => this.#out });
    this.#session.on("error", () => {});
  }

  static async open(address: string, { ca, own }: Connect): Promise<RawCalls> {
    const { host, port } = addressOf(address);
    const socket = connectTls({
      ...{ host, port, ca, servername: "localhost", ALPNProtocols: ["h2"] },
      ...(own === undefined ? {} : { cert: own.certificate, key: own.key }),
    });
    socket.on("error", () => {});
    await once(socket, "secureConnect");
    const calls = new RawCalls(socket);
    await once(calls.#session, "remoteSettings");
    return calls;
  }

  /** Sends one call with `body` as its only message. Resolves with its end or its first response message. */
  async call(
    path: string,
    more: Fields,
    body: Uint8Array,
    { beforeBody, ...shape }: CallOptions = {},
  ): Promise<RawCallAnswer> {
    const fields: Fields = [
      [":method", "POST"],
      [":scheme", "https"],
      [":path", path],
      [":authority", "localhost"],
      ["content-type", "application/grpc"],
      ["te", "trailers"],
      ...more,
    ];
    this.#out.next.push({ block: fieldBlock(fields), ...shape });
    const stream = this.#session.request({ ":method": "POST", ":path": path });
    const answer = new Promise<RawCallAnswer>((resolve) => {
      const read = (headers: Record<string, unknown>) => {
        if (headers["grpc-status"] === undefined) return;
        const code = status[Number(headers["grpc-status"])] as StatusName;
        resolve({ code, message: String(headers["grpc-message"] ?? "") });
      };
      stream.on("response", read).on("trailers", read);
      stream.on("data", (chunk: Buffer) => {
        resolve({ code: "OK", message: "", bytes: chunk.subarray(FRAMING_BYTES) });
        stream.close();
      });
      stream.on("error", () => {});
      stream.once("close", () => resolve({ code: "UNKNOWN", message: "" }));
    });
    await beforeBody?.();
    stream.end(framed(body));
    return answer;
  }

  close(): void {
    this.#session.destroy();
    this.socket.destroy();
  }
}

interface Replacement extends Omit<CallOptions, "beforeBody"> {
  readonly block: Buffer;
}

/** Passes everything on, replacing each outgoing header block. */
class HeaderReplacement extends Duplex {
  readonly next: Replacement[] = [];
  readonly #socket: TLSSocket;
  #rest: Buffer = Buffer.alloc(0);
  #isBegun = false;

  constructor(socket: TLSSocket) {
    super();
    this.#socket = socket;
    socket.on("data", (chunk) => this.push(chunk));
    socket.once("end", () => this.push(null));
    socket.once("close", () => this.destroy());
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: string, callback: (error?: Error | null) => void): void {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    if (!this.#isBegun && this.#rest.length >= PREFACE_BYTES) {
      this.#socket.write(this.#rest.subarray(0, PREFACE_BYTES));
      this.#rest = this.#rest.subarray(PREFACE_BYTES);
      this.#isBegun = true;
    }
    while (this.#isBegun && this.#rest.length >= 9 && this.#rest.length >= 9 + this.#rest.readUIntBE(0, 3)) {
      const end = 9 + this.#rest.readUIntBE(0, 3);
      const one = this.#rest.subarray(0, end);
      this.#rest = this.#rest.subarray(end);
      this.#socket.write(one.readUInt8(3) === FRAME.headers ? this.#replaced(one.readUInt32BE(5)) : one);
    }
    callback();
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    this.#socket.destroy();
    callback(error);
  }

  #replaced(stream: number): Buffer {
    const { block, cut = block.length, padding, hasPriority } = this.next.shift() as Replacement;
    const parts: Buffer[] = [];
    for (let at = 0; at < block.length; at += cut) parts.push(block.subarray(at, at + cut));
    const [first = Buffer.alloc(0), ...rest] = parts;
    const head = Buffer.concat([
      ...(padding === undefined ? [] : [Buffer.from([padding])]),
      ...(hasPriority === true ? [Buffer.from([0, 0, 0, 0, 15])] : []),
      ...[first, Buffer.alloc(padding ?? 0)],
    ]);
    const flags = (padding === undefined ? 0 : 8) | (hasPriority === true ? 0x20 : 0);
    const last = (index: number) => (index === rest.length ? 4 : 0);
    return Buffer.concat([
      frame(FRAME.headers, flags | last(0), stream, head),
      ...rest.map((part, index) => frame(FRAME.continuation, last(index + 1), stream, part)),
    ]);
  }
}

const PREFACE_BYTES = 24;
/** Adds gRPC framing: a flag and a length. */
const FRAMING_BYTES = 5;
