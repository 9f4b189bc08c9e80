import type { Http2Session } from "node:http2";
import { Duplex } from "node:stream";
import type { PeerCertificate, TLSSocket } from "node:tls";
import { peerName } from "../connections/connections.ts";
import { HeaderFieldCounter } from "./header-field-counter.ts";

/**
 * A TLS connection whose received bytes pass through a {@link HeaderFieldCounter} before HTTP/2 reads them. Node.js drops invalid header
 * fields, and a call that lost its token would get the rights of the connection's certificate. Counting takes processor time, so this class is
 * used only where the certificate would replace a lost token; HTTP/2 reads other connections natively.
 */
export class FieldCountingSocket extends Duplex {
  /** Knows how many header fields the client has sent for each call. */
  readonly fieldCounter = new HeaderFieldCounter();
  readonly certificate: PeerCertificate;
  /** The {@link peerName} of the connection. */
  readonly peer: string;
  readonly #socket: TLSSocket;

  constructor(socket: TLSSocket, certificate: PeerCertificate) {
    super();
    this.#socket = socket;
    this.certificate = certificate;
    this.peer = peerName(socket);
    socket.on("data", (chunk: Buffer) => {
      this.fieldCounter.push(chunk);
      if (!this.push(chunk)) socket.pause();
    });
    socket.once("end", () => this.push(null));
    socket.once("error", (error) => this.destroy(error));
    socket.once("close", () => this.destroy());
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(chunk: Buffer, encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    this.#socket.write(chunk, encoding, callback);
  }

  override _writev(
    chunks: { chunk: Buffer; encoding: BufferEncoding }[],
    callback: (error?: Error | null) => void,
  ): void {
    this.#socket.write(Buffer.concat(chunks.map(({ chunk }) => chunk)), callback);
  }

  override _final(callback: () => void): void {
    this.#socket.end(callback);
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    this.#socket.destroy();
    callback(error);
  }
}

/** The FieldCountingSocket from which `session` reads; undefined if it reads its connection natively. */
export function fieldCountingSocketOf(session: Http2Session): FieldCountingSocket | undefined {
  // If a session does not read from a native socket, `session.socket` is a wrapper with the property `stream`. Destroyed sessions have no socket.
  const { stream } = (session.destroyed ? {} : session.socket) as { readonly stream?: unknown };
  return stream instanceof FieldCountingSocket ? stream : undefined;
}
