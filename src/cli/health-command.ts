import { get } from "node:http";
import { type Command, Option } from "commander";
import { pause } from "../client/retry.ts";
import { describeMisspelling, misspellings } from "../config/misspellings.ts";
import { formatHostPort, type HostPort, parseHostPort } from "../connections/host-port.ts";
import { escapeLine } from "../text/terminal-text.ts";
import { clampedToTimer } from "../time/clock.ts";
import { EXIT } from "./errors.ts";
import type { CliIo, CommandContext } from "./io.ts";
import { addressFrom, duration, hostPort, positiveDuration } from "./option-parsers.ts";

const DEFAULT_ADDRESS = "127.0.0.1:9464";
/** The pause between two requests with --wait. */
const RETRY_MS = 100;

const HELP = `
Requests /readyz at ADMIN_ADDRESS, which needs no credential: for the health
check of a container, and for a script that restarts replicas one by one.

Exit code: 0 if the service is serving, 69 if not.

Examples:
  token-blacklist health
  token-blacklist health --admin-address 10.0.0.7:9464 --wait 30s
`;

interface HealthOptions {
  readonly adminAddress?: string;
  /** Milliseconds. */
  readonly timeout: number;
  /** How long to retry, in milliseconds; 0: a single request. */
  readonly wait: number;
}

export function addHealthCommand(program: Command, { io, exit }: CommandContext): void {
  const command = program
    .command("health")
    .summary("check whether a service is serving")
    .description("Checks whether a running service is serving, as a load balancer does.")
    .option(
      "--admin-address <host:port>",
      `the service's address for probes (default: ADMIN_ADDRESS, or else ${DEFAULT_ADDRESS})`,
      hostPort,
    )
    .addOption(
      new Option("--timeout <duration>", "how long to wait for each response")
        .argParser(positiveDuration)
        .default(positiveDuration("2s"), "2s"),
    )
    .addOption(
      new Option("--wait <duration>", "how long to retry until the service is serving")
        .argParser(duration)
        .default(0, "0"),
    )
    .addHelpText("after", HELP);
  command.action(async () => {
    for (const misspelling of misspellings(io.env, new Set(["ADMIN_ADDRESS", "ADMIN_ADDRESS_FILE"]))) {
      io.stderr.write(`warning: ${escapeLine(describeMisspelling(misspelling))}\n`);
    }
    const { adminAddress, timeout, wait } = command.opts<HealthOptions>();
    const fromVariable = () => addressFrom("ADMIN_ADDRESS", io.env, { parse: hostPort, command });
    const address = parseHostPort(adminAddress ?? fromVariable() ?? DEFAULT_ADDRESS);
    // The clock's timers do not keep the process alive, and between two requests nothing else does.
    const keepAlive = setInterval(() => {}, 60_000);
    try {
      exit(await untilServing(address, { io, timeoutMs: timeout, waitMs: wait }));
    } finally {
      clearInterval(keepAlive);
    }
  });
}

/** Reports to the operator, and resolves to the exit code. */
async function untilServing(
  address: HostPort,
  { io, timeoutMs, waitMs }: { io: CliIo; timeoutMs: number; waitMs: number },
): Promise<number> {
  const giveUpAt = io.clock.monotonic() + waitMs;
  for (;;) {
    const { isServing, message } = await requestReadiness(address, { timeoutMs, signal: io.signal });
    if (io.signal.aborted) {
      io.stderr.write("interrupted\n");
      return EXIT.interrupted;
    }
    if (isServing) {
      io.stdout.write(`${escapeLine(message)}\n`);
      return EXIT.ok;
    }
    if (io.clock.monotonic() >= giveUpAt) {
      io.stderr.write(`error: ${escapeLine(message)}\n`);
      return EXIT.unavailable;
    }
    await pause(io.clock, RETRY_MS, io.signal);
  }
}

interface Health {
  readonly isServing: boolean;
  /** A line for the operator. */
  readonly message: string;
}

/** Requests `/readyz` once. Never rejects: a service that cannot be reached counts as not serving. */
function requestReadiness(
  { host, port }: HostPort,
  { timeoutMs, signal }: { timeoutMs: number; signal: AbortSignal },
): Promise<Health> {
  const address = formatHostPort({ host, port });
  return new Promise((resolve) => {
    const notServing = (message: string) => resolve({ isServing: false, message });
    // The timeout is for the whole response: a socket timeout alone would let a trickle of bytes continue without end.
    const endSignal = AbortSignal.any([signal, AbortSignal.timeout(clampedToTimer(timeoutMs))]);
    // No agent: a connection kept alive would keep the process alive.
    const options = { host: connectableHost(host), port, path: "/readyz", agent: false, signal: endSignal };
    get(options, (response) => {
      response.resume();
      const { statusCode } = response;
      if (statusCode === 200) resolve({ isServing: true, message: `the service at ${address} is serving` });
      else if (statusCode === 503)
        notServing(
          `the service at ${address} is not serving: its database is unavailable, or it is stopping; see its log`,
        );
      else
        notServing(
          `${address} is not the ADMIN_ADDRESS of a token-blacklist service (HTTP status ${statusCode})`,
        );
    }).once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "ECONNREFUSED") notServing(`nothing listens at ${address}`);
      else if (endSignal.aborted) notServing(`no response from ${address} within ${timeoutMs / 1000} s`);
      else notServing(`no response from ${address} (${error.code ?? error.message})`);
    });
  });
}

/** The host to connect to if the service listens on `host`, which may be a wildcard address. */
function connectableHost(host: string): string {
  if (host === "0.0.0.0") return "127.0.0.1";
  return /^[0:]+$/.test(host) && host.includes(":") ? "::1" : host;
}
