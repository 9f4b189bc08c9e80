import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import {
  createServer,
  type DetailedPeerCertificate,
  type PeerCertificate,
  type Server,
  TLSSocket,
} from "node:tls";
import type { Logger } from "pino";
import type { CertificateAuthenticator } from "../auth/certificate-authenticator.ts";
import { timeSliced } from "../blacklist/time-slicing.ts";
import { peerName } from "../connections/connections.ts";
import { STREAM_END_MS, TLS_HANDSHAKE_MS } from "../limits.ts";
import type { LogSampling } from "../logging/log-sampling.ts";
import type { Clock } from "../time/clock.ts";
import { FieldCountingSocket } from "./field-counting-socket.ts";
import type { TlsContext } from "./tls-context.ts";

export interface TlsSetup {
  readonly tls: TlsContext;
  /** Undefined if clients are not asked for certificates. */
  readonly certificateAuthenticator:
    | Pick<CertificateAuthenticator, "replacesLostToken" | "distrust">
    | undefined;
  readonly clock: Clock;
  readonly log: Logger;
  readonly logSampling: LogSampling;
  /** Called with each connection that is ready for HTTP/2. */
  onConnection(socket: Duplex): void;
}

/** Estimated cost of verifying the certificate of one connection, in microseconds. */
const VERIFICATION_MICROS = 300;

/**
 * The TLS connections. TLS is terminated here and not by grpc-js, so that certificates can be replaced without closing connections. OpenSSL
 * verifies a client's certificate once, when its connection opens. When an open connection's certificate would no longer be accepted, the
 * calls and streams of the connection end, and it is closed.
 */
export class TlsConnections {
  readonly #setup: TlsSetup;
  readonly #server: Server;
  /** The open connections on which the client has presented a certificate. */
  readonly #certified = new Map<TLSSocket, PeerCertificate>();

  constructor(setup: TlsSetup) {
    this.#setup = setup;
    const { tls } = setup;
    const options = {
      ...tls.current,
      ALPNProtocols: ["h2"],
      handshakeTimeout: TLS_HANDSHAKE_MS,
      // A client without a certificate is authenticated by bearer token, or may call only health and reflection. A client with an invalid
      // certificate is disconnected.
      requestCert: tls.asksForCertificates,
      rejectUnauthorized: false,
    };
    this.#server = createServer(options, (socket) => this.#secured(socket));
    this.#server.on("tlsClientError", (error) =>
      logRefused(setup, "debug", { code: (error as { code?: string }).code }, "no TLS connection"),
    );
    tls.watch({
      apply: (context) => this.#server.setSecureContext(context),
      onTrustChange: () => this.#verifyAgain(),
    });
  }

  /** Begins TLS on a connection. */
  accept(socket: Socket): void {
    this.#server.emit("connection", socket);
  }

  /** Passes on a connection that has completed TLS, unless it does not use HTTP/2 or its client's certificate is invalid. */
  #secured(socket: TLSSocket): void {
    const { certificateAuthenticator, onConnection } = this.#setup;
    // A client without HTTP/2 cannot use the service.
    if (socket.alpnProtocol !== "h2") {
      socket.destroy();
      return;
    }
    const certificate = socket.getPeerCertificate();
    // Without a certificate, Node.js returns an empty object.
    const isPresented = certificate?.raw !== undefined;
    const problem = isPresented ? this.#problemOf(socket) : undefined;
    if (problem !== undefined) {
      const fields = { peer: socket.remoteAddress, problem };
      logRefused(this.#setup, "warn", fields, "refused a client's certificate");
      socket.destroy();
      return;
    }
    // Each call reads the certificate, which cannot change. Parsing it for each call would take longer than a check.
    socket.getPeerCertificate = (() => certificate) as TLSSocket["getPeerCertificate"];
    if (!isPresented || certificateAuthenticator === undefined) {
      onConnection(socket);
      return;
    }
    this.#certified.set(socket, certificate);
    socket.once("close", () => this.#certified.delete(socket));
    // Node.js drops invalid header fields. Where a call would then be attributed to the certificate, its fields are counted.
    const isCounted = certificateAuthenticator.replacesLostToken(certificate);
    onConnection(isCounted ? new FieldCountingSocket(socket, certificate) : socket);
  }

  /** Why the client's certificate is invalid; undefined if it is valid. */
  #problemOf(socket: TLSSocket): string | undefined {
    if (!socket.authorized) return String(socket.authorizationError);
    const { tls } = this.#setup;
    // OpenSSL may have verified the certificate with earlier authorities or revocation lists.
    return tls.hasJustChanged ? tls.whyRejected(chainOf(socket)) : undefined;
  }

  /** Verifies all certificates again, since authorities or revocation lists have changed, or lists have expired. */
  #verifyAgain(): void {
    const { tls, certificateAuthenticator } = this.#setup;
    /** The problem of each chain, or undefined, so that a chain is verified once for all connections of a client. */
    const problems = new Map<string, string | undefined>();
    const refused: PeerCertificate[] = [];
    const verify = (socket: TLSSocket, certificate: PeerCertificate) => {
      if (!this.#certified.has(socket)) return;
      const chain = chainOf(socket);
      const key = chain.map((der) => der.toString("latin1")).join();
      if (!problems.has(key)) problems.set(key, tls.whyRejected(chain));
      const problem = problems.get(key);
      if (problem === undefined) return;
      refused.push(certificate);
      this.#end(socket, problem);
    };
    const steps = [...this.#certified].map(([socket, certificate]) => ({
      cost: VERIFICATION_MICROS,
      work: () => verify(socket, certificate),
    }));
    const last = { cost: 0, work: () => certificateAuthenticator?.distrust(refused) };
    // Sliced, since thousands of verifications in one turn of the event loop would delay all callers.
    timeSliced([...steps, last], ({ work }) => work());
  }

  /** Closes the connection after a delay, so that its calls and streams can end with a status first. */
  #end(socket: TLSSocket, problem: string): void {
    this.#certified.delete(socket);
    const cancel = this.#setup.clock.schedule(STREAM_END_MS, () => socket.destroy());
    socket.once("close", cancel);
    const fields = { peer: peerName(socket), problem };
    const message = "a client certificate is no longer accepted: its connection is closed";
    logRefused(this.#setup, "warn", fields, message);
  }
}

/** Logs a refusal. The lines are sampled, since any peer can cause refusals without a credential. */
export function logRefused(
  { log, logSampling }: Pick<TlsSetup, "log" | "logSampling">,
  level: "debug" | "warn",
  details: object,
  msg: string,
): void {
  if (!log.isLevelEnabled(level)) return;
  logSampling.write(msg, { fields: {}, details: () => details, write: (fields) => log[level](fields, msg) });
}

/** The client's certificate and its issuers, as far as the client sent them or OpenSSL knows them, each in DER. */
function chainOf(socket: TLSSocket): Buffer[] {
  const chain: Buffer[] = [];
  // The method on the connection itself is overridden to return only the client's own certificate.
  let certificate = TLSSocket.prototype.getPeerCertificate.call(socket, true) as
    | DetailedPeerCertificate
    | undefined;
  while (certificate?.raw !== undefined) {
    chain.push(certificate.raw);
    const issuer = certificate.issuerCertificate;
    certificate = issuer === certificate ? undefined : issuer;
  }
  return chain;
}
