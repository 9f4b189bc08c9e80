import { type DetailedPeerCertificate, type PeerCertificate, TLSSocket } from "node:tls";
import type { Logger } from "pino";
import type { Certificates } from "../auth/certificates.ts";
import { inTurns } from "../blacklist/in-turns.ts";
import type { Clock } from "../clock.ts";
import { peerName } from "../connections.ts";
import { STREAM_END_MS } from "../limits.ts";
import type { LogSampling } from "../log-sampling.ts";
import type { TlsContext } from "./tls-context.ts";

interface Setup {
  readonly tls: TlsContext;
  readonly certificates: Pick<Certificates, "distrust">;
  readonly clock: Clock;
  readonly log: Logger;
  readonly sampling: LogSampling;
}

/** What it takes to judge one connection's certificate, in microseconds. */
const JUDGEMENT_MICROS = 300;
const MESSAGE = "a client's certificate is not accepted any more: its connection ends";

/**
 * The open connections whose clients have shown a certificate. OpenSSL judges it once, when they are opened; those whose certificate would be
 * refused by now lose their calls and streams, and are closed.
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

  /** Authorities or lists of revoked certificates have changed, or lists have expired. */
  judgeAgain(): void {
    const { tls, certificates } = this.#setup;
    /** Clients open several connections with one certificate. */
    const known = new Map<string, string | undefined>();
    const refused: PeerCertificate[] = [];
    const judge = (socket: TLSSocket, certificate: PeerCertificate) => {
      if (!this.#open.has(socket)) return;
      const chain = chainOf(socket);
      const key = chain.map((der) => der.toString("latin1")).join();
      if (!known.has(key)) known.set(key, tls.whyRefused(chain));
      const problem = known.get(key);
      if (problem === undefined) return;
      refused.push(certificate);
      this.#end(socket, problem);
    };
    const steps = [...this.#open].map(([socket, certificate]) => ({
      cost: JUDGEMENT_MICROS,
      work: () => judge(socket, certificate),
    }));
    inTurns([...steps, { cost: 0, work: () => certificates.distrust(refused) }], ({ work }) => work());
  }

  /** Not at once: calls and streams are told first. */
  #end(socket: TLSSocket, problem: string): void {
    const { clock, log, sampling } = this.#setup;
    this.#open.delete(socket);
    const cancel = clock.schedule(STREAM_END_MS, () => socket.destroy());
    socket.once("close", cancel);
    const sampled = sampling.admit(MESSAGE, (left) => log.warn(left, MESSAGE));
    if (sampled !== undefined) log.warn({ peer: peerName(socket), problem, ...sampled }, MESSAGE);
  }
}

/** The certificate that the client has shown, and those that it came with or that vouched for it, in DER. */
export function chainOf(socket: TLSSocket): Buffer[] {
  const chain: Buffer[] = [];
  // The connection's own method has been replaced by one that shows the first alone.
  let one = TLSSocket.prototype.getPeerCertificate.call(socket, true) as DetailedPeerCertificate | undefined;
  while (one?.raw !== undefined) {
    chain.push(one.raw);
    if (one.issuerCertificate === undefined || one.issuerCertificate === one) break;
    one = one.issuerCertificate;
  }
  return chain;
}
