import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { connect as connectTls } from "node:tls";

/** Types of HTTP/2's frames: RFC 9113, section 6. */
export const FRAME = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;
export const FLAG = { endStream: 1, ack: 1, endHeaders: 4 } as const;

/** The server's certificate is not verified. */
const UNVERIFIED = { ALPNProtocols: ["h2"], rejectUnauthorized: false };

const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/** A TCP connection that sends single HTTP/2 frames, for what no library sends. */
export class RawHttp2 {
  readonly socket: Socket;
  readonly closed: Promise<void>;
  #rest: Buffer = Buffer.alloc(0);
  /** The error code of a received GOAWAY. */
  goaway: number | undefined;
  /** The number of received frames by type. */
  readonly received = new Map<number, number>();

  private constructor(socket: Socket) {
    this.socket = socket;
    this.closed = new Promise((resolve) => socket.once("close", () => resolve()));
    socket.on("error", () => {});
    socket.on("data", (bytes: Buffer) => this.#read(bytes));
  }

  /** Connects, with TLS if `tls` is set, and sends the preface and SETTINGS with this payload, by default empty. */
  static async open(
    address: string,
    { settings, tls = false }: { settings?: Buffer; tls?: boolean } = {},
  ): Promise<RawHttp2> {
    const socket = tls ? connectTls({ ...addressOf(address), ...UNVERIFIED }) : connect(addressOf(address));
    await once(socket, tls ? "secureConnect" : "connect");
    const connection = new RawHttp2(socket);
    socket.write(PREFACE);
    socket.write(frame(FRAME.settings, 0, 0, settings));
    return connection;
  }

  get isClosed(): boolean {
    return this.socket.destroyed || this.socket.readableEnded;
  }

  /** Sends the results of `make`, `count` times, as fast as the service reads, until it closes the connection. Returns how many were sent. */
  async flood(make: (index: number) => Buffer, { count, atOnce = 100 }: { count: number; atOnce?: number }) {
    let sent = 0;
    while (sent < count && !this.isClosed) {
      const chunk = Array.from({ length: Math.min(atOnce, count - sent) }, (_, index) => make(sent + index));
      sent += chunk.length;
      if (!this.socket.write(Buffer.concat(chunk))) await this.drained();
    }
    return sent;
  }

  /** Resolves when the socket accepts more, has been closed, or `withinMs` is over. */
  drained(withinMs?: number): Promise<unknown> {
    return Promise.race([
      new Promise((resolve) => this.socket.once("drain", resolve)),
      this.closed,
      ...(withinMs === undefined ? [] : [delay(withinMs, undefined, { ref: false })]),
    ]);
  }

  /** Whether the service closes the connection within this time. */
  async closesWithin(ms: number): Promise<boolean> {
    return Promise.race([this.closed.then(() => true), delay(ms, false, { ref: false })]);
  }

  close(): void {
    this.socket.destroy();
  }

  #read(bytes: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, bytes]);
    while (this.#rest.length >= 9) {
      const length = this.#rest.readUIntBE(0, 3);
      if (this.#rest.length < 9 + length) return;
      const type = this.#rest.readUInt8(3);
      if (type === FRAME.goaway) this.goaway = this.#rest.readUInt32BE(13);
      this.received.set(type, (this.received.get(type) ?? 0) + 1);
      this.#rest = this.#rest.subarray(9 + length);
    }
  }
}

export function frame(
  type: number,
  flags: number,
  stream: number,
  payload: Uint8Array = Buffer.alloc(0),
): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** The payload of SETTINGS with one setting. */
export function setting(id: number, value: number): Buffer {
  const payload = Buffer.alloc(6);
  payload.writeUInt16BE(id, 0);
  payload.writeUInt32BE(value, 2);
  return payload;
}

/** A 32-bit number, as in the payloads of RST_STREAM and WINDOW_UPDATE. */
export function uint32(value: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(value, 0);
  return payload;
}

/** A header block of literals without indexing: RFC 7541, section 6.2.2. */
export function headerBlock(headers: Readonly<Record<string, string>>): Buffer {
  return fieldBlock(Object.entries(headers));
}

/** Header fields, sent unchanged: names may repeat, and values may be invalid. */
export type Fields = readonly (readonly [name: string, value: string])[];

/** As {@link headerBlock}. */
export function fieldBlock(fields: Fields): Buffer {
  return Buffer.concat(fields.flatMap(([name, value]) => [Buffer.from([0]), literal(name), literal(value)]));
}

/** The headers of a call to a method. */
export function callHeaders(path: string, more: Readonly<Record<string, string>> = {}): Buffer {
  return headerBlock({
    ":method": "POST",
    ":scheme": "http",
    ":path": path,
    ":authority": "localhost",
    "content-type": "application/grpc",
    te: "trailers",
    ...more,
  });
}

/** The id of a client's `index`th stream. */
export function streamId(index: number): number {
  return 2 * index + 1;
}

export function addressOf(address: string): { host: string; port: number } {
  const [, host = "", port] = /^(.*):(\d+)$/.exec(address) ?? [];
  return { host, port: Number(port) };
}

function literal(text: string): Buffer {
  const bytes = Buffer.from(text, "latin1");
  if (bytes.length < 127) return Buffer.concat([Buffer.from([bytes.length]), bytes]);
  const prefix = [127];
  let rest = bytes.length - 127;
  for (; rest >= 128; rest >>= 7) prefix.push((rest & 127) | 128);
  return Buffer.concat([Buffer.from([...prefix, rest]), bytes]);
}
