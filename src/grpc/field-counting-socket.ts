import type { Http2Session } from "node:http2";
import { Duplex } from "node:stream";
import type { PeerCertificate, TLSSocket } from "node:tls";
import { peerName } from "../connections.ts";
import { HeaderFieldCounter } from "./header-field-counter.ts";

/**
 * A TLS connection whose bytes pass by a {@link HeaderFieldCounter} on their way to HTTP/2, which would otherwise read them where no code of ours can.
 * It costs each call some processor time, so it is for connections on which a lost header would give a caller another one's rights.
 */
export class FieldCountingSocket extends Duplex {
  readonly fields = new HeaderFieldCounter();
  readonly certificate: PeerCertificate;
  /** As {@link peerName} names it. */
  readonly peer: string;
  readonly #socket: TLSSocket;

  constructor(socket: TLSSocket, certificate: PeerCertificate) {
    super();
    this.#socket = socket;
    this.certificate = certificate;
    this.peer = peerName(socket);
    socket.on("data", (chunk: Buffer) => {
      this.fields.push(chunk);
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

/** Below an HTTP/2 session; undefined where it reads its connection itself. */
export function countingSocketOf(session: Http2Session): FieldCountingSocket | undefined {
  // What Node.js wraps a stream in that is no socket of the operating system names it so. Destroyed sessions have no socket.
  const { stream } = (session.destroyed ? {} : session.socket) as { readonly stream?: unknown };
  return stream instanceof FieldCountingSocket ? stream : undefined;
}
