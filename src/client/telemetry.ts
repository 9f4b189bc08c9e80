import { ignoringErrors, type StatusName } from "./client-error.ts";
import type { ClientState } from "./client-state.ts";

/**
 * The client's log for operators: changes of state, and at most every ten seconds the number of checks that could not be answered.
 * `details` has addresses, codes, reasons and counts; never a jti or a token. Errors thrown by a method are ignored.
 */
export interface ClientLog {
  info?(message: string, details: Readonly<Record<string, unknown>>): void;
  warn(message: string, details: Readonly<Record<string, unknown>>): void;
}

/** The source of an answer. `policy`: from `onUnavailable`, because no answer was available. */
export type AnswerSource = "remembered" | "copy" | "service" | "policy";

/** Receives events, synchronously and often: count them and return. Every method is optional. Errors thrown by a method are ignored. */
export interface ClientMetrics {
  /** Checks were answered; `count` is their number. */
  checked?(event: { readonly answer: boolean; readonly source: AnswerSource; readonly count: number }): void;
  /**
   * Checks could not be answered. `outcome` is what their callers got instead: an error, the answer of `onUnavailable`, or `true` because the
   * cache or the copy has the token as blacklisted (`known-blacklisted`).
   */
  unanswered?(event: {
    readonly code: StatusName;
    readonly reason: string | undefined;
    readonly outcome: "rejected" | "denied" | "allowed" | "known-blacklisted";
    readonly count: number;
  }): void;
  /** A call has ended. `jtis` is the number of its checks, `code` is OK or the error's code. */
  called?(event: { readonly code: "OK" | StatusName; readonly jtis: number; readonly seconds: number }): void;
  /** A call that failed with `code` is about to be retried. */
  retried?(event: { readonly code: StatusName; readonly waitMs: number }): void;
  /** The state has changed. */
  state?(state: ClientState): void;
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
    info: (message, details) => ignoringErrors(() => log.info?.(message, details)),
    warn: (message, details) => ignoringErrors(() => log.warn(message, details)),
  };
}

/** Wraps `metrics` so that errors its methods throw cannot fail a check. An absent method stays absent, and costs nothing. */
export function guardedMetrics(metrics: ClientMetrics): ClientMetrics {
  const guarded: Record<string, (event: never) => void> = {};
  for (const name of ["checked", "unanswered", "called", "retried", "state"] as const) {
    if (metrics[name] === undefined) continue;
    guarded[name] = (event: never) => ignoringErrors(() => (metrics[name] as (event: never) => void)(event));
  }
  return guarded as ClientMetrics;
}
