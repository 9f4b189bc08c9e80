import { isIPv4 } from "node:net";

/** Where a socket listens. */
export interface HostPort {
  /** A name or an address, without brackets. */
  readonly host: string;
  /** 0 asks for a free one. */
  readonly port: number;
}

/** Reads `127.0.0.1:50051`, `localhost:0` or `[::1]:50051`. Throws a RangeError that says what is expected. */
export function parseHostPort(text: string): HostPort {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]/]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  const host = match?.[1] ?? match?.[2];
  if (host === undefined || port > 65_535)
    throw new RangeError("must be host:port, such as 127.0.0.1:50051 or [::1]:50051");
  return { host, port };
}

export function formatHostPort({ host, port }: HostPort): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Whether only this machine can reach a socket that listens there. `host` is a name or an address, in brackets or not. */
export function isLoopback(host: string): boolean {
  const name = host.replace(/^\[|\]$/g, "").toLowerCase();
  return name === "localhost" || name === "::1" || (isIPv4(name) && name.startsWith("127."));
}
