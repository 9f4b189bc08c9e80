import type { CertificateAndKey } from "../support/certificates.ts";

/** The attacked service, as an attacker sees it. */
export interface Target {
  /** `host:port` for gRPC. */
  readonly address: string;
  /** `host:port` for probes and metrics. */
  readonly adminAddress: string;
  /** `host:port` for authorization requests over HTTP. */
  readonly authzAddress: string;
  /** The token of a caller with every role, for attacks by callers. */
  readonly token: string;
  /** A raw token that the service accepts for revocation. */
  readonly rawToken: string;
  /** The authority of all certificates, in PEM. */
  readonly authority: string;
  /** A client certificate with every role, for attacks over TLS. */
  readonly operator: CertificateAndKey;
}

/** How much of an attack is played. An attack ends as soon as either bound is reached. */
export interface Extent {
  /** The share of its full count, above 0 and at most 1. */
  readonly share: number;
  /** The duration in milliseconds. */
  readonly forMs: number;
}

export interface Attack {
  /** Unique, in lower case with hyphens. */
  readonly name: string;
  /** What is sent, for the report. */
  readonly sends: string;
  /** Whether `address` speaks TLS; false if absent. */
  readonly tls?: true;
  /** Runs the attack. Resolves with the number of items that `sends` describes; "let in" if a call succeeded that must be refused. */
  play(target: Target, extent: Extent): Promise<number | "let in">;
}

interface Lanes {
  /** The full count. Lanes may exceed it by one batch each. */
  readonly count: number;
  /** The number of concurrent lanes. */
  readonly lanes?: number;
}

/** Calls `send` repeatedly, on each lane, until the extent is reached. Resolves with the sum of the results. */
export async function repeat(
  { share, forMs }: Extent,
  { count, lanes = 1 }: Lanes,
  send: (sent: number) => Promise<number>,
): Promise<number> {
  const most = Math.ceil(count * share);
  const until = performance.now() + forMs;
  let sent = 0;
  const lane = async () => {
    while (sent < most && performance.now() < until) {
      const more = await send(sent);
      sent += more;
      // If the service accepts nothing more, the attack must not become a busy loop.
      if (more === 0) await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return sent;
}
