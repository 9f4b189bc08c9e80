/**
 * The client's log for operators: changes of state, and at most every ten seconds the number of checks that could not be answered.
 * `details` has addresses, codes, reasons and counts; never a jti or a token.
 */
export interface ClientLog {
  info?(message: string, details: Readonly<Record<string, unknown>>): void;
  warn(message: string, details: Readonly<Record<string, unknown>>): void;
}

/** Writes warnings to standard error, and nothing else. */
export const consoleLog: ClientLog = {
  warn(message, details) {
    // biome-ignore lint/suspicious/noConsole: a library that was given no log has nothing else to warn with.
    console.warn(`token-blacklist: ${message}`, details);
  },
};

/** Wraps `log` so that errors it throws cannot fail a check. */
export function guardedLog(log: ClientLog): Required<ClientLog> {
  return {
    info: (message, details) => quietly(() => log.info?.(message, details)),
    warn: (message, details) => quietly(() => log.warn(message, details)),
  };
}

function quietly(write: () => void): void {
  try {
    write();
  } catch {
    // There is no other log to report it to.
  }
}
