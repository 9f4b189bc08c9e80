import { type DetailedPeerCertificate, type PeerCertificate, TLSSocket } from "node:tls";
import type { Logger } from "pino";
import type { CertificateAuthenticator } from "../auth/certificate-authenticator.ts";
import { timeSliced } from "../blacklist/time-slicing.ts";
import { peerName } from "../connections/connections.ts";
import { STREAM_END_MS } from "../limits.ts";
import type { LogSampling } from "../logging/log-sampling.ts";
import type { Clock } from "../time/clock.ts";
import type { TlsContext } from "./tls-context.ts";

interface Setup {
  readonly tls: TlsContext;
  readonly certificateAuthenticator: Pick<CertificateAuthenticator, "distrust">;
  readonly clock: Clock;
  readonly log: Logger;
  readonly sampling: LogSampling;
}

/** Estimated cost of verifying the certificate of one connection, in microseconds. */
const VERIFICATION_MICROS = 300;
const MESSAGE = "a client certificate is no longer accepted: its connection is closed";

/**
 * The open connections on which the client has presented a certificate. OpenSSL verifies a certificate once, when the connection opens.
 * When a certificate would no longer be accepted, the calls and streams of its connections end and the connections are closed.
 */
export class CertifiedConnections {
  readonly #setup: Setup;
  readonly #open = new Map<TLSSocket, PeerCertificate>();

  constructor(setup: Setup) {
    this.#setup = setup;
  }

  add(socket: TLSSocket, certificate: PeerCertificate): void {
    this.#open.set(socket, certificate);
    socket.once("close", () => this.#open.delete(socket));
  }

  /** Verifies all certificates again. To be called when authorities or revocation lists have changed, or lists have expired. */
  verifyAgain(): void {
    const { tls, certificateAuthenticator } = this.#setup;
    /** The problem of each chain, if any: clients open several connections with one certificate. */
    const problems = new Map<string, string | undefined>();
    const refused: PeerCertificate[] = [];
    const verify = (socket: TLSSocket, certificate: PeerCertificate) => {
      if (!this.#open.has(socket)) return;
      const chain = chainOf(socket);
      const key = chain.map((der) => der.toString("latin1")).join();
      if (!problems.has(key)) problems.set(key, tls.whyRejected(chain));
      const problem = problems.get(key);
      if (problem === undefined) return;
      refused.push(certificate);
      this.#end(socket, problem);
    };
    const steps = [...this.#open].map(([socket, certificate]) => ({
      cost: VERIFICATION_MICROS,
      work: () => verify(socket, certificate),
    }));
    // Sliced, since thousands of verifications in one turn of the event loop would delay all callers.
    timeSliced([...steps, { cost: 0, work: () => certificateAuthenticator.distrust(refused) }], ({ work }) =>
      work(),
    );
  }

  /** Closes the connection after a delay, so that its calls and streams can end with a status first. */
  #end(socket: TLSSocket, problem: string): void {
    const { clock, log, sampling } = this.#setup;
    this.#open.delete(socket);
    const cancel = clock.schedule(STREAM_END_MS, () => socket.destroy());
    socket.once("close", cancel);
    sampling.write(MESSAGE, {
      fields: {},
      details: () => ({ peer: peerName(socket), problem }),
      write: (fields) => log.warn(fields, MESSAGE),
    });
  }
}

/** The client's certificate and its issuers, as far as the client sent them or OpenSSL knows them, each in DER. */
export function chainOf(socket: TLSSocket): Buffer[] {
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
