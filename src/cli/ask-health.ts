import { get } from "node:http";
import { formatHostPort, type HostPort } from "../connections/host-port.ts";
import { waitable } from "../time/clock.ts";

export interface Health {
  readonly isServing: boolean;
  /** A line for the operator. */
  readonly message: string;
}

/** Requests `/readyz` once. Never rejects: a service that cannot be reached counts as not serving. */
export function askHealth(
  { host, port }: HostPort,
  { timeoutMs, signal }: { timeoutMs: number; signal: AbortSignal },
): Promise<Health> {
  const address = formatHostPort({ host, port });
  return new Promise((resolve) => {
    const not = (message: string) => resolve({ isServing: false, message });
    // The timeout is for the whole response: a socket timeout alone would let a trickle of bytes continue without end.
    const limits = AbortSignal.any([signal, AbortSignal.timeout(waitable(timeoutMs))]);
    // No agent: a connection kept alive would keep the process alive.
    const options = { host: reachable(host), port, path: "/readyz", agent: false, signal: limits };
    get(options, (response) => {
      response.resume();
      const { statusCode } = response;
      if (statusCode === 200) resolve({ isServing: true, message: `the service at ${address} is serving` });
      else if (statusCode === 503)
        not(
          `the service at ${address} is not serving: its database is unavailable, or it is stopping; see its log`,
        );
      else
        not(`${address} is not the ADMIN_ADDRESS of a token-blacklist service (HTTP status ${statusCode})`);
    }).once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "ECONNREFUSED") not(`nothing listens at ${address}`);
      else if (limits.aborted) not(`no response from ${address} within ${timeoutMs / 1000} s`);
      else not(`no response from ${address} (${error.code ?? error.message})`);
    });
  });
}

/** A wildcard address is one to listen on, not one to connect to. */
function reachable(host: string): string {
  if (host === "0.0.0.0") return "127.0.0.1";
  return /^[0:]+$/.test(host) && host.includes(":") ? "::1" : host;
}
