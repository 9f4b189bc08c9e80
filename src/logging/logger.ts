import pino, { type DestinationStream, type Logger } from "pino";
import type { LogLevel } from "../config/config.ts";
import { escapeJson } from "../text/terminal-text.ts";

/** Matches all characters that are escaped, and others. Few lines have such characters, so that this quick test suffices for most lines. */
const NOT_PRINTABLE_ASCII = /[^ -~]/;

/**
 * Creates a logger that writes one JSON object per line. Characters that could control a terminal, or are indistinguishable from others, are
 * escaped, so that a caller's text cannot imitate another line. Errors are reduced to identifying fields, since drivers attach the statement
 * with its parameters.
 */
export function createLogger(level: LogLevel, destination: DestinationStream): Logger {
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: describe },
      hooks: { streamWrite: escapeLogLine },
    },
    destination,
  );
}

function escapeLogLine(line: string): string {
  // Remove the line break at the end.
  const json = line.slice(0, -1);
  return NOT_PRINTABLE_ASCII.test(json) ? `${escapeJson(json)}\n` : line;
}

/** How many levels of `cause` are logged: enough for the errors of the store, of its driver, and of the system. */
const MAX_CAUSES = 4;

function describe(error: unknown, depth = 0): object {
  if (!(error instanceof Error)) return { type: typeof error, message: "not an Error" };
  const { code } = error as { code?: unknown };
  return {
    type: error.name,
    message: error.message,
    ...(code === undefined ? {} : { code: String(code) }),
    // A ServiceError is expected, so its stack tells nothing.
    ...(depth === 0 && error.name !== "ServiceError" && error.stack !== undefined
      ? { stack: error.stack }
      : {}),
    ...(error.cause === undefined || depth === MAX_CAUSES ? {} : { cause: describe(error.cause, depth + 1) }),
  };
}
