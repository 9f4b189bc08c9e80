import { type Command, Option } from "commander";
import { ClientError } from "../client/client-error.ts";
import { describeMisspelling, misspellings } from "../config/misspellings.ts";
import { escapeLine } from "../text/terminal-text.ts";
import {
  addCredentialOptions,
  CREDENTIAL_VARIABLES,
  type CredentialOptions,
  credentialsFrom,
} from "./credential-options.ts";
import { UsageError } from "./errors.ts";
import type { CliIo, CommandContext } from "./io.ts";
import { address, addressFrom, positiveDuration } from "./option-parsers.ts";
import type { Format } from "./row-writer.ts";
import { Session } from "./session.ts";

/** The options of every command that calls a running service. */
export interface OperatorOptions extends CredentialOptions {
  readonly address?: string;
  /** Milliseconds. */
  readonly timeout: number;
}

/** The options of a command that prints rows; --output is their format. */
export interface RowOptions extends OperatorOptions {
  readonly output: Format;
}

const DEFAULT_ADDRESS = "127.0.0.1:50051";

export interface OperatorCommand<Options extends OperatorOptions> {
  /** The default of --timeout, which bounds one call. */
  readonly timeout: string;
  /** Resolves to the exit code. Errors it throws are reported to the operator. */
  run(session: Session, options: Options, args: readonly string[]): Promise<number>;
}

/** Adds to `command` the options of {@link OperatorOptions}, and an action that runs `run` and closes the session afterwards. */
export function operatorCommand<Options extends OperatorOptions>(
  command: Command,
  { io, exit }: CommandContext,
  { timeout, run }: OperatorCommand<Options>,
): void {
  command
    .option(
      "--address <host:port>",
      `the service's address (default: TOKEN_BLACKLIST_ADDRESS, or else ${DEFAULT_ADDRESS})`,
      address,
    )
    .addOption(
      new Option("--timeout <duration>", "how long to wait for each response")
        .argParser(positiveDuration)
        .default(positiveDuration(timeout), timeout),
    );
  addCredentialOptions(command).action(async () => {
    const options = command.opts<Options>();
    warnOfMisspellings(io);
    const session = sessionFor(options, io, command);
    try {
      exit(await run(session, options, command.args));
    } catch (error) {
      exit(session.report(error));
    } finally {
      session.close();
    }
  });
}

function sessionFor(options: OperatorOptions, io: CliIo, command: Command): Session {
  try {
    return new Session(io, {
      address:
        options.address ??
        addressFrom("TOKEN_BLACKLIST_ADDRESS", io.env, { parse: address, command }) ??
        DEFAULT_ADDRESS,
      credentials: credentialsFrom(options, io.env),
      timeoutMs: options.timeout,
    });
  } catch (error) {
    if (!(error instanceof UsageError || error instanceof ClientError)) throw error;
    return command.error(`error: ${error.message}`);
  }
}

/** Warns of misspelt environment variables: a command that ignores such a variable would call another service, or call without credentials. */
function warnOfMisspellings({ env, stderr }: CliIo): void {
  const ours = Object.entries(env).filter(([name]) => /^TOKEN_?BLACKLIST/i.test(name));
  const known = new Set(["TOKEN_BLACKLIST_ADDRESS", ...CREDENTIAL_VARIABLES]);
  for (const misspelling of misspellings(Object.fromEntries(ours), known)) {
    stderr.write(`warning: ${escapeLine(describeMisspelling(misspelling))}\n`);
  }
}
