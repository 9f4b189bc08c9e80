import pino, { type DestinationStream, type Logger } from "pino";
import type { LogLevel } from "./config/config.ts";
import type { DroppedLines } from "./log-output.ts";
import { escapeJson } from "./printable.ts";

/** A quick look that nearly every line passes. */
const NOT_PLAIN = /[^ -~]/;

/**
 * JSON, one object a line, in characters that can be seen: whatever else somebody has sent is escaped, so that no terminal acts on it and no
 * line reads as another. Errors are cut down to what identifies them: drivers hang the statement, and with it their
 * parameters, on the errors they throw.
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

/** The line break at its end stays. */
function escapeLine(line: string): string {
  const json = line.slice(0, -1);
  return NOT_PLAIN.test(json) ? `${escapeJson(json)}\n` : line;
}

/** The line that says how many are missing before it. It is written whatever LOG_LEVEL is: so would the audit lines have been. */
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

/** Deep enough for a store's error, its driver's, and the system's below. */
const MAX_CAUSES = 4;

function describe(error: unknown, depth = 0): Description {
  if (!(error instanceof Error)) return { type: typeof error, message: "not an Error" };
  const { code } = error as { code?: unknown };
  return {
    type: error.name,
    message: error.message,
    ...(code === undefined ? {} : { code: String(code) }),
    // Where a foreseen failure was thrown says nothing; where an unforeseen one was says everything.
    ...(depth === 0 && error.name !== "ServiceError" && error.stack !== undefined
      ? { stack: error.stack }
      : {}),
    ...(error.cause === undefined || depth === MAX_CAUSES ? {} : { cause: describe(error.cause, depth + 1) }),
  };
}
