import { isIPv4 } from "node:net";
import { parseHostPort } from "../connections/host-port.ts";
import { settingProblem } from "../text/setting-text.ts";
import { ignoringErrors } from "./client-error.ts";

const EXAMPLE = "host:port, such as 127.0.0.1:50051";

/**
 * What is wrong with `address`, worded to follow the option's name; undefined if it is valid. Never quotes the address, which may
 * contain a password: messages reach callers.
 */
export function addressProblem(address: unknown): string | undefined {
  if (address === undefined || address === null || address === "") return `is missing: give ${EXAMPLE}`;
  if (typeof address !== "string") return `must be text: ${EXAMPLE}`;
  const problem = settingProblem(address);
  if (problem !== undefined) return problem;
  if (/^unix:/.test(address)) {
    return /^unix:(\/\/)?$/.test(address) ? "must be followed by a path: unix:/path/to/socket" : undefined;
  }
  const [, dnsTarget] = /^dns:(?:\/\/[^/]*\/)?(.*)$/.exec(address) ?? [];
  // `dns:50051` is the host "dns" with a port.
  if (dnsTarget !== undefined && !/^\d+$/.test(dnsTarget)) {
    return (
      hostPortProblem(dnsTarget) &&
      "must be dns:///name:port: the port is not optional, and nothing follows it"
    );
  }
  const [, ipTargets] = /^ipv[46]:(.*:.*)$/.exec(address) ?? [];
  if (ipTargets !== undefined) return ipTargets.split(",").map(hostPortProblem).find(Boolean);
  return hostPortProblem(address);
}

function hostPortProblem(text: string): string | undefined {
  if (/^[a-z][a-z\d+.-]*:\/\//i.test(text)) {
    return `must be ${EXAMPLE}, without a scheme: TLS is an option of the credentials`;
  }
  const [mark] = /[/?#]/.exec(text) ?? [];
  if (mark !== undefined) return `must end with the port: remove "${mark}" and what follows it`;
  if (/[,;]/.test(text)) return "must be one host:port: several are an array of them";
  if (text.includes("@")) return "must be host:port, without a user: credentials are an option";
  if (text.includes(" ")) return "must be host:port: a space belongs to neither";
  if (/^[\da-f.]*:[\da-f.]*:[\da-f:.]*$/i.test(text)) {
    return "must have an IPv6 address in brackets and then the port, such as [::1]:50051";
  }
  if (!/:|^\[.*\]$/.test(text) || /^\[[^\]]*\]$/.test(text)) return `has no port: write ${EXAMPLE}`;
  const [, port = ""] = /:([^:\]]*)$/.exec(text) ?? [];
  if (!/^\d{1,5}$/.test(port) || Number(port) < 1 || Number(port) > 65_535) {
    return "must end with a port, a number from 1 to 65535";
  }
  const host = ignoringErrors(() => parseHostPort(text).host);
  if (host === undefined) return `must be ${EXAMPLE} or [::1]:50051`;
  if (/^(undefined|null|NaN|true|false)$/.test(host)) {
    return "has a word of JavaScript for its host: a variable was probably not set";
  }
  if (/^[\d.]+$/.test(host) && !isIPv4(host)) return "must have an IPv4 address of four numbers up to 255";
  return undefined;
}
