import type { Logger } from "pino";
import { createLogger } from "../../src/logging/logger.ts";

/** The service's logger, writing to memory. */
export function memoryLog(): { readonly log: Logger; readonly lines: string[]; records(): LogRecord[] } {
  const lines: string[] = [];
  const log = createLogger("trace", { write: (line) => void lines.push(line) });
  return {
    log,
    lines,
    /** The parsed lines, without the time. */
    records: () =>
      lines.map((line) => {
        const { time: _, ...record } = JSON.parse(line) as LogRecord;
        return record;
      }),
  };
}

export type LogRecord = Record<string, unknown>;
