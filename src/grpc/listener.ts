import type { AddressInfo } from "node:net";
import { createServer, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { createServer as createTlsServer, type PeerCertificate, type TLSSocket } from "node:tls";
import type { Logger } from "pino";
import type { Certificates } from "../auth/certificates.ts";
import type { Clock } from "../clock.ts";
import { type Connections, peerName } from "../connections.ts";
import { StartError } from "../errors.ts";
import { formatHostPort, type HostPort } from "../host-port.ts";
import { TLS_HANDSHAKE_MS } from "../limits.ts";
import type { LogSampling } from "../log-sampling.ts";
import { CertifiedConnections, chainOf } from "./certified-connections.ts";
import { FieldCountingSocket } from "./field-counting-socket.ts";
import type { TlsContext } from "./tls-context.ts";

/** A listening socket and the connections that came in by it. */
export interface Listener {
  readonly address: HostPort;
  /** Takes no more connections. Resolves when the last one has been closed. */
  stop(): Promise<void>;
  /** Cuts every connection that is still open, whatever its peer does; or that of one peer, as grpc-js names it, alone. */
  cut(peer?: string): void;
}

interface Setup {
  /** Absent: connections are not encrypted. */
  readonly tls: TlsContext | undefined;
  /** What is known of clients' certificates; absent where none are asked for. */
  readonly certificates: Pick<Certificates, "standsIn" | "distrust"> | undefined;
  readonly clock: Clock;
  readonly log: Logger;
  readonly sampling: LogSampling;
  /** Bounds the connections. */
  readonly connections: Connections;
  /** A connection that is ready for HTTP/2. */
  onConnection(socket: Duplex): void;
}

/**
 * Listens for grpc-js, whose own shutdown leaves a connection open for as long as its peer does not close it. Throws
 * StartError when it cannot.
 */
export function listen(
  { host, port }: HostPort,
  { tls, certificates, clock, connections, onConnection, ...logging }: Setup,
): Promise<Listener> {
  const sockets = new Set<Socket>();
  const admit =
    tls === undefined ? onConnection : encrypted(tls, { ...logging, certificates, clock, onConnection });
  // Bounded below TLS, so that peers that never end a handshake count too, and can be cut off.
  const server = createServer({ noDelay: true }, (socket) => {
    const connection = connections.open(socket, () => socket.destroy());
    if (connection === undefined) {
      socket.destroy();
      return;
    }
    sockets.add(socket);
    socket.once("close", () => {
      sockets.delete(socket);
      connection.closed();
    });
    admit(socket);
  });
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      const why = error.code === "EADDRINUSE" ? "the port is in use" : error.message;
      const text = formatHostPort({ host, port });
      reject(new StartError(`cannot listen on LISTEN_ADDRESS ${text}: ${why}`, { cause: error }));
    });
    server.listen(port, host, () => {
      // Without a listener an accept that fails, for want of descriptors for one, would end the process.
      server.on("error", (error) =>
        logRefused(logging, "warn", { err: error }, "a connection could not be accepted"),
      );
      resolve({
        address: { host, port: (server.address() as AddressInfo).port },
        stop: () => {
          tls?.stop();
          return new Promise((closed) => server.close(() => closed()));
        },
        cut(peer) {
          for (const socket of sockets) {
            if (peer === undefined || peer === peerName(socket)) socket.destroy();
          }
        },
      });
    });
  });
}

type Logging = Pick<Setup, "log" | "sampling">;

/** Sampled: a peer needs no credential to be refused. */
function logRefused({ log, sampling }: Logging, level: "debug" | "warn", about: object, msg: string): void {
  if (!log.isLevelEnabled(level)) return;
  const sampled = sampling.admit(msg, (left) => log[level](left, msg));
  if (sampled !== undefined) log[level]({ ...about, ...sampled }, msg);
}

/** TLS is ours too, not grpc-js's: certificates can then be replaced without an end to any connection. */
function encrypted(
  tls: TlsContext,
  {
    certificates,
    clock,
    onConnection,
    ...logging
  }: Pick<Setup, "log" | "sampling" | "certificates" | "clock" | "onConnection">,
): (socket: Socket) => void {
  const certified = certificates && new CertifiedConnections({ tls, certificates, clock, ...logging });
  const server = createTlsServer(
    {
      ...tls.current,
      ALPNProtocols: ["h2"],
      handshakeTimeout: TLS_HANDSHAKE_MS,
      // Who shows none is known by a bearer token or not at all, and may ask for the health. Who shows a wrong one is cut off.
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
      const isCounted = certificate !== undefined && certificates?.standsIn(certificate) === true;
      onConnection(isCounted ? new FieldCountingSocket(socket, certificate) : socket);
    },
  );
  server.on("tlsClientError", (error) =>
    logRefused(logging, "debug", { code: (error as { code?: string }).code }, "no TLS connection"),
  );
  tls.watch({
    apply: (context) => server.setSecureContext(context),
    onTrust: () => certified?.judgeAgain(),
  });
  return (socket) => server.emit("connection", socket);
}

/** What is wrong with the certificate that was shown. */
function problemOf(socket: TLSSocket, tls: TlsContext): string | undefined {
  if (!socket.authorized) return String(socket.authorizationError);
  // The handshake may have begun before.
  return tls.hasJustChanged ? tls.whyRefused(chainOf(socket)) : undefined;
}

/** The certificate that the client has shown, if it has; undefined where the connection has to end. */
function accept(
  socket: TLSSocket,
  tls: TlsContext,
  logging: Logging,
): { readonly certificate: PeerCertificate | undefined } | undefined {
  // A client that cannot do HTTP/2 is of no use.
  if (socket.alpnProtocol !== "h2") return undefined;
  const certificate = socket.getPeerCertificate();
  const isShown = certificate?.raw !== undefined;
  const problem = isShown ? problemOf(socket, tls) : undefined;
  if (problem !== undefined) {
    const about = { peer: socket.remoteAddress, problem };
    logRefused(logging, "warn", about, "refused a client's certificate");
    return undefined;
  }
  // It cannot change, and each call asks for it: taking it apart takes longer than a check does.
  socket.getPeerCertificate = (() => certificate) as TLSSocket["getPeerCertificate"];
  return { certificate: isShown ? certificate : undefined };
}
