import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from "node:http2";
import type { DescMessage, DescMethodUnary, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { methodDefinition } from "../../src/protobuf/service-definition.ts";

const READY_WITHIN_MS = 15_000;
/** Five bytes precede a message: whether it is compressed, and its length. */
export const PREFIX_BYTES = 5;

/** What a server may require of its clients. */
export interface Access {
  /** Sent with each call. */
  readonly token?: string | undefined;
  /** The CA of the server's certificate, in PEM. Absent: no TLS. */
  readonly ca?: string | undefined;
}

/**
 * One client for the service and for its bare peer: gRPC on plain HTTP/2 streams, one connection at a time. The client of grpc-js
 * uses more CPU than its server, so a closed loop of its calls would measure the client.
 */
export class GrpcClient {
  readonly #authority: string;
  readonly #access: Access;
  #session: ClientHttp2Session | undefined;
  #connecting: Promise<ClientHttp2Session> | undefined;
  #closed = false;

  constructor(port: number, access: Access = {}) {
    this.#authority = access.ca === undefined ? `http://127.0.0.1:${port}` : `https://localhost:${port}`;
    this.#access = access;
  }

  /** Connects, retrying until the server listens. */
  async ready(): Promise<void> {
    const giveUpAt = performance.now() + READY_WITHIN_MS;
    for (;;) {
      try {
        await this.#connect();
        return;
      } catch (error) {
        if (performance.now() > giveUpAt) throw error;
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    }
  }

  method<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    { timeoutSeconds = 10 } = {},
  ): (request: MessageInitShape<I>) => Promise<MessageShape<O>> {
    const { path, requestSerialize, responseDeserialize } = methodDefinition(method);
    const headers = {
      ":method": "POST",
      ":path": path,
      "content-type": "application/grpc",
      te: "trailers",
      "grpc-timeout": `${timeoutSeconds}S`,
      ...(this.#access.token === undefined ? {} : { authorization: `Bearer ${this.#access.token}` }),
    };
    return async (request) => {
      const message = framed(requestSerialize(request as MessageShape<I>));
      for (;;) {
        const session =
          this.#session === undefined || this.#session.closed ? await this.#connect() : this.#session;
        const stream = session.request(headers);
        stream.end(message);
        try {
          return responseDeserialize(await answerOf(stream)) as MessageShape<O>;
        } catch (error) {
          // The call was sent just as the connection reached its maximum age, and was not processed.
          if (stream.rstCode !== constants.NGHTTP2_REFUSED_STREAM) throw error;
        }
      }
    };
  }

  /** Calls without a connection share one attempt to connect: the service ends every connection after ten minutes. */
  #connect(): Promise<ClientHttp2Session> {
    if (this.#closed) throw new Error("the client is closed");
    this.#connecting ??= open(this.#authority, this.#access)
      .then((session) => {
        if (this.#closed) session.destroy();
        this.#session = session;
        return session;
      })
      .finally(() => {
        this.#connecting = undefined;
      });
    return this.#connecting;
  }

  close(): void {
    this.#closed = true;
    this.#session?.destroy();
  }
}

function open(authority: string, { ca }: Access): Promise<ClientHttp2Session> {
  return new Promise((resolve, reject) => {
    const session = connect(authority, {
      settings: { enablePush: false, initialWindowSize: 1 << 20 },
      ...(ca === undefined ? {} : { ca }),
    });
    session.once("error", reject);
    session.once("connect", () => {
      session.off("error", reject);
      // A broken connection fails the calls on it, which report the error.
      session.on("error", () => {});
      resolve(session);
    });
  });
}

export function framed(message: Buffer): Buffer {
  const bytes = Buffer.allocUnsafe(PREFIX_BYTES + message.length);
  bytes[0] = 0;
  bytes.writeUInt32BE(message.length, 1);
  message.copy(bytes, PREFIX_BYTES);
  return bytes;
}

/** The only message of a successful response. */
function answerOf(stream: ClientHttp2Stream): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let status: unknown;
    let detail: unknown;
    function read(headers: Record<string, unknown>): void {
      status = headers["grpc-status"] ?? status;
      detail = headers["grpc-message"] ?? detail;
    }
    stream.on("response", read);
    stream.on("trailers", read);
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("error", reject);
    stream.on("close", () => {
      if (status === "0")
        resolve((chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks)).subarray(PREFIX_BYTES));
      else reject(new Error(`the call failed with status ${status}: ${detail}`));
    });
  });
}
