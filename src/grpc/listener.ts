import { createServer, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { createServer as createTlsServer, type PeerCertificate, type TLSSocket } from "node:tls";
import type { Logger } from "pino";
import type { CertificateAuthenticator } from "../auth/certificate-authenticator.ts";
import { type Connections, peerName } from "../connections/connections.ts";
import type { HostPort } from "../connections/host-port.ts";
import { listen } from "../connections/http-listener.ts";
import { TLS_HANDSHAKE_MS } from "../limits.ts";
import type { LogSampling } from "../logging/log-sampling.ts";
import type { Clock } from "../time/clock.ts";
import { CertifiedConnections, chainOf } from "./certified-connections.ts";
import { FieldCountingSocket } from "./field-counting-socket.ts";
import type { TlsContext } from "./tls-context.ts";

/** The listening socket of gRPC and its open connections. */
export interface Listener {
  readonly address: HostPort;
  /** Accepts no more connections. Resolves when the last one has closed. */
  stop(): Promise<void>;
  /** Destroys all open connections or, given a peer as grpc-js names it, only that peer's. */
  disconnect(peer?: string): void;
}

interface Setup {
  /** Undefined: connections are not encrypted. */
  readonly tls: TlsContext | undefined;
  /** Undefined if clients are not asked for certificates. */
  readonly certificateAuthenticator:
    | Pick<CertificateAuthenticator, "replacesLostToken" | "distrust">
    | undefined;
  readonly clock: Clock;
  readonly log: Logger;
  readonly sampling: LogSampling;
  /** Bounds the connections. */
  readonly connections: Connections;
  /** Called with each connection that is ready for HTTP/2. */
  onConnection(socket: Duplex): void;
}

/**
 * Listens on behalf of grpc-js, whose own shutdown leaves a connection open until its peer closes it. Throws StartError if it cannot
 * listen.
 */
export async function listenGrpc(
  requested: HostPort,
  { tls, certificateAuthenticator, clock, connections, onConnection, ...logging }: Setup,
): Promise<Listener> {
  const sockets = new Set<Socket>();
  const onAccepted =
    tls === undefined
      ? onConnection
      : tlsAcceptor(tls, { ...logging, certificateAuthenticator, clock, onConnection });
  // Connections are bounded before TLS, so that peers that never complete a handshake count too and can be disconnected.
  const server = createServer({ noDelay: true }, (socket) => {
    if (connections.accept(socket) === undefined) return;
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    onAccepted(socket);
  });
  const address = await listen(server, requested, "LISTEN_ADDRESS");
  // Without a listener, a failed accept, for lack of file descriptors for example, would end the process.
  server.on("error", (error) =>
    logRefused(logging, "warn", { err: error }, "a connection could not be accepted"),
  );
  return {
    address,
    stop: () => {
      tls?.stop();
      return new Promise((resolve) => server.close(() => resolve()));
    },
    disconnect(peer) {
      for (const socket of sockets) {
        if (peer === undefined || peer === peerName(socket)) socket.destroy();
      }
    },
  };
}

type Logging = Pick<Setup, "log" | "sampling">;

/** Logs a refusal. Sampled, since a peer needs no credential to be refused. */
function logRefused({ log, sampling }: Logging, level: "debug" | "warn", details: object, msg: string): void {
  if (!log.isLevelEnabled(level)) return;
  sampling.write(msg, { fields: {}, details: () => details, write: (fields) => log[level](fields, msg) });
}

/**
 * Returns a function that takes raw connections and passes on those that have completed TLS. TLS is terminated here and not by grpc-js, so
 * that certificates can be replaced without closing connections.
 */
function tlsAcceptor(
  tls: TlsContext,
  {
    certificateAuthenticator,
    clock,
    onConnection,
    ...logging
  }: Pick<Setup, "log" | "sampling" | "certificateAuthenticator" | "clock" | "onConnection">,
): (socket: Socket) => void {
  const certified =
    certificateAuthenticator &&
    new CertifiedConnections({ tls, certificateAuthenticator, clock, ...logging });
  const server = createTlsServer(
    {
      ...tls.current,
      ALPNProtocols: ["h2"],
      handshakeTimeout: TLS_HANDSHAKE_MS,
      // A client without a certificate is authenticated by bearer token, or may call only health and reflection. A client with an invalid
      // certificate is disconnected.
      requestCert: tls.asksForCertificates,
      rejectUnauthorized: false,
    },
    (socket) => {
      const accepted = accept(socket, tls, logging);
      if (accepted === undefined) {
        socket.destroy();
        return;
      }
      const { certificate } = accepted;
      if (certificate !== undefined) certified?.add(socket, certificate);
      // Node.js drops invalid header fields. Where a call would then be attributed to the certificate, its fields are counted.
      const isCounted =
        certificate !== undefined && certificateAuthenticator?.replacesLostToken(certificate) === true;
      onConnection(isCounted ? new FieldCountingSocket(socket, certificate) : socket);
    },
  );
  server.on("tlsClientError", (error) =>
    logRefused(logging, "debug", { code: (error as { code?: string }).code }, "no TLS connection"),
  );
  tls.watch({
    apply: (context) => server.setSecureContext(context),
    onTrustChange: () => certified?.verifyAgain(),
  });
  return (socket) => server.emit("connection", socket);
}

/** Why the client's certificate is invalid; undefined if it is valid. */
function certificateProblem(socket: TLSSocket, tls: TlsContext): string | undefined {
  if (!socket.authorized) return String(socket.authorizationError);
  // OpenSSL may have verified the certificate with earlier authorities or revocation lists.
  return tls.hasJustChanged ? tls.whyRejected(chainOf(socket)) : undefined;
}

/** An object with the client's certificate, if it presented one; undefined if the connection has to be closed. */
function accept(
  socket: TLSSocket,
  tls: TlsContext,
  logging: Logging,
): { readonly certificate: PeerCertificate | undefined } | undefined {
  // A client without HTTP/2 cannot use the service.
  if (socket.alpnProtocol !== "h2") return undefined;
  const certificate = socket.getPeerCertificate();
  // Without a certificate, Node.js returns an empty object.
  const isPresented = certificate?.raw !== undefined;
  const problem = isPresented ? certificateProblem(socket, tls) : undefined;
  if (problem !== undefined) {
    logRefused(logging, "warn", { peer: socket.remoteAddress, problem }, "refused a client's certificate");
    return undefined;
  }
  // Each call reads the certificate, which cannot change: parsing it again would take longer than a check.
  socket.getPeerCertificate = (() => certificate) as TLSSocket["getPeerCertificate"];
  return { certificate: isPresented ? certificate : undefined };
}
