import pino, { type DestinationStream, type Logger } from "pino";
import type { LogLevel } from "../config/config.ts";
import { escapeJson } from "../text/terminal-text.ts";
import type { DroppedLines } from "./log-output.ts";

/** Matches few lines, and tests them quickly. */
const NOT_PLAIN = /[^ -~]/;

/**
 * Creates a logger that writes one JSON object per line, in visible ASCII characters: all others are escaped, so that foreign text neither
 * controls a terminal nor imitates another line. Errors are reduced to identifying fields, since drivers attach the statement with its
 * parameters.
 */
export function createLogger(level: LogLevel, destination: DestinationStream): Logger {
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: describe },
      hooks: { streamWrite: escapeLine },
    },
    destination,
  );
}

/** Leaves the line break at the end. */
function escapeLine(line: string): string {
  const json = line.slice(0, -1);
  return NOT_PLAIN.test(json) ? `${escapeJson(json)}\n` : line;
}

/** The line that reports dropped lines before it. It is written at any LOG_LEVEL, as the dropped audit lines would have been. */
export function describeGap({ audit, other }: DroppedLines): string {
  const record = {
    level: "warn",
    time: new Date().toISOString(),
    dropped: audit + other,
    dropped_audit: audit,
    msg: "log lines were dropped: they could not be written",
  };
  return `${JSON.stringify(record)}\n`;
}

interface Description {
  readonly type: string;
  readonly message: string;
  readonly code?: string;
  readonly stack?: string;
  readonly cause?: Description;
}

/** Enough for the error of a store, of its driver, and of the system below. */
const MAX_CAUSES = 4;

function describe(error: unknown, depth = 0): Description {
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
