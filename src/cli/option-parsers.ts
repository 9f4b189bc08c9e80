import { type Command, InvalidArgumentError } from "commander";
import { parseHostPort } from "../connections/host-port.ts";
import { textProblem } from "../entry.ts";
import { settingProblem } from "../text/setting-text.ts";
import { parseDuration } from "../time/duration.ts";
import { UsageError } from "./errors.ts";
import type { CliIo } from "./io.ts";
import { parseTimeArgument, type TimeArgument, type TimeArgumentSetup } from "./time-argument.ts";

// Parsers of option values for commander, which puts the option's name before the message.

/** Parses a duration such as `1h`, into milliseconds. */
export function duration(text: string): number {
  return asInvalidArgument(() => parseDuration(text));
}

export function positiveDuration(text: string): number {
  const ms = duration(text);
  if (ms === 0) throw new InvalidArgumentError("It must be more than 0.");
  return ms;
}

export function timeArgument(setup: TimeArgumentSetup): (text: string) => TimeArgument {
  return (text) => asInvalidArgument(() => parseTimeArgument(text, setup));
}

export function positiveInteger(text: string): number {
  const number = Number(text);
  if (!/^\d+$/.test(text) || number < 1 || number > 2_147_483_647) {
    throw new InvalidArgumentError("It must be an integer of at least 1.");
  }
  return number;
}

export function textUpTo(maxBytes: number): (text: string) => string {
  return (text) => {
    const problem = textProblem(text, maxBytes);
    if (problem !== undefined) throw new InvalidArgumentError(`It ${problem}.`);
    return text;
  };
}

/** `host:port`, `[address]:port`, or `unix:path`. */
export function address(text: string): string {
  return /^unix:./.test(text) ? unaltered(text) : hostPort(text);
}

/** `host:port` or `[address]:port`. */
export function hostPort(text: string): string {
  unaltered(text);
  if (/^https?:\/\//.test(text)) throw new InvalidArgumentError("It must be host:port, without http://.");
  asInvalidArgument(() => parseHostPort(text));
  return text;
}

/** The address in the variable `name`; undefined if there is none. An invalid address ends the command with an error. */
export function addressFrom(
  name: string,
  env: CliIo["env"],
  { parse, command }: { parse: (text: string) => string; command: Command },
): string | undefined {
  const text = env[name];
  if (!text) return undefined;
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof InvalidArgumentError)) throw error;
    return command.error(`error: ${name} '${text}' is invalid: ${error.message}`);
  }
}

/** Rejects text that a shell, an env file or an editor has altered. Returns `text`. */
function unaltered(text: string): string {
  const problem = settingProblem(text);
  if (problem !== undefined) throw new InvalidArgumentError(`It ${problem}.`);
  return text;
}

/** Turns the error of `parse` into an error that commander reports with the name of the option. */
function asInvalidArgument<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (error instanceof RangeError || error instanceof UsageError) {
      throw new InvalidArgumentError(`It ${error.message}.`);
    }
    throw error;
  }
}
