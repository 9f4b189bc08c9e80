/**
 * Where the client says what an operator should know: a change of state, and at most every ten seconds that checks could not
 * be answered, with their count. `details` holds codes, reasons and counts; neither a jti nor a token is ever in it.
 */
export interface ClientLog {
  info?(message: string, details: Readonly<Record<string, unknown>>): void;
  warn(message: string, details: Readonly<Record<string, unknown>>): void;
}

/** Warnings alone, to standard error. */
export const consoleLog: ClientLog = {
  warn(message, details) {
    // biome-ignore lint/suspicious/noConsole: a library that was given no log has nothing else to warn with.
    console.warn(`token-blacklist: ${message}`, details);
  },
};

/** `log`, which cannot break a check by throwing. */
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
    // There is no other log to say it in.
  }
}
