import type { StatusName } from "./client-error.ts";
import type { ClientState } from "./client-state.ts";

/** The source of an answer. `policy`: from `onUnavailable`, because no answer was available. */
export type AnswerSource = "remembered" | "copy" | "service" | "policy";

/** Receives events, synchronously and often: count them and return. Every method is optional. Errors thrown by a method are ignored. */
export interface ClientMetrics {
  /** Checks were answered. */
  checked?(event: { readonly answer: boolean; readonly source: AnswerSource; readonly count: number }): void;
  /** Checks could not be answered; `outcome` is what their callers got instead. */
  unanswered?(event: {
    readonly code: StatusName;
    readonly reason: string | undefined;
    readonly outcome: "rejected" | "denied" | "allowed" | "known-blacklisted";
    readonly count: number;
  }): void;
  /** A call for checks has ended; `code` is OK or the error's code. */
  called?(event: { readonly code: "OK" | StatusName; readonly jtis: number; readonly seconds: number }): void;
  /** A call is about to be retried. */
  repeated?(event: { readonly code: StatusName; readonly waitMs: number }): void;
  /** The state has changed. */
  state?(state: ClientState): void;
}

/** Wraps `metrics` so that errors its methods throw cannot fail a check. An absent method stays absent, and costs nothing. */
export function guardedMetrics(metrics: ClientMetrics): ClientMetrics {
  const guarded: Record<string, (event: never) => void> = {};
  for (const name of ["checked", "unanswered", "called", "repeated", "state"] as const) {
    if (metrics[name] === undefined) continue;
    guarded[name] = (event: never) => {
      try {
        (metrics[name] as (event: never) => void)(event);
      } catch {
        // An error in a counter must not affect the answer about a token.
      }
    };
  }
  return guarded as ClientMetrics;
}
