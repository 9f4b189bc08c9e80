import { type Command, InvalidArgumentError, Option } from "commander";
import { pause } from "../client/retry.ts";
import { describeMisspelling, misspellings } from "../config/misspellings.ts";
import { type HostPort, parseHostPort } from "../connections/host-port.ts";
import { escapeLine } from "../text/terminal-text.ts";
import { askHealth } from "./ask-health.ts";
import { EXIT } from "./exit-code.ts";
import type { CliIo, CommandContext } from "./io.ts";
import { duration, hostPort, positiveDuration } from "./option-parsers.ts";

const DEFAULT_ADDRESS = "127.0.0.1:9464";
const ASK_AGAIN_MS = 100;

const HELP = `
It asks /readyz at ADMIN_ADDRESS, which needs no credential: for the health
check of a container, and for a script that replaces one replica after another.

Exit code: 0 if calls are answered, 69 if not.

Examples:
  token-blacklist health
  token-blacklist health --admin-address 10.0.0.7:9464 --wait 30s
`;

interface HealthOptions {
  readonly adminAddress?: string;
  /** `timeout` and `wait` are in milliseconds. */
  readonly timeout: number;
  readonly wait: number;
}

export function addHealthCommand(program: Command, { io, exit }: CommandContext): void {
  const command = program
    .command("health")
    .summary("tell whether a service answers calls")
    .description("Tells whether a running service can answer calls, as a load balancer would be told.")
    .addOption(
      new Option(
        "--admin-address <host:port>",
        `where the service answers probes (default: ADMIN_ADDRESS, or else ${DEFAULT_ADDRESS})`,
      ).argParser(hostPort),
    )
    .addOption(
      new Option("--timeout <duration>", "how long to wait for each answer")
        .argParser(positiveDuration)
        .default(positiveDuration("2s"), "2s"),
    )
    .addOption(
      new Option("--wait <duration>", "how long to ask again until it is serving")
        .argParser(duration)
        .default(0, "0"),
    )
    .addHelpText("after", HELP);
  command.action(async () => {
    for (const misspelling of misspellings(io.env, new Set(["ADMIN_ADDRESS", "ADMIN_ADDRESS_FILE"]))) {
      io.stderr.write(`warning: ${escapeLine(describeMisspelling(misspelling))}\n`);
    }
    const { adminAddress, timeout, wait } = command.opts<HealthOptions>();
    const address = parseHostPort(adminAddress ?? addressFrom(io.env.ADMIN_ADDRESS, command));
    // The clock's timers do not keep the process alive, and between two requests nothing else does.
    const awake = setInterval(() => {}, 60_000);
    try {
      exit(await untilServing(address, { io, timeoutMs: timeout, waitMs: wait }));
    } finally {
      clearInterval(awake);
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
    const { isServing, says } = await askHealth(address, { timeoutMs, signal: io.signal });
    if (io.signal.aborted) {
      io.stderr.write("interrupted\n");
      return EXIT.interrupted;
    }
    if (isServing) {
      io.stdout.write(`${escapeLine(says)}\n`);
      return EXIT.ok;
    }
    if (io.clock.monotonic() >= giveUpAt) {
      io.stderr.write(`error: ${escapeLine(says)}\n`);
      return EXIT.unavailable;
    }
    await pause(io.clock, ASK_AGAIN_MS, io.signal);
  }
}

function addressFrom(variable: string | undefined, command: Command): string {
  try {
    return hostPort(variable || DEFAULT_ADDRESS);
  } catch (error) {
    if (!(error instanceof InvalidArgumentError)) throw error;
    return command.error(`error: ADMIN_ADDRESS '${variable}' is invalid: ${error.message}`);
  }
}
