import type { StatusName } from "./client-error.ts";
import type { ClientState } from "./client-state.ts";

/** Where an answer came from. `policy`: from `onUnavailable`, since nothing could be known. */
export type AnswerSource = "remembered" | "copy" | "service" | "policy";

/**
 * Called as things happen, synchronously and often: count, and return. Every method is optional. What one throws is dropped.
 */
export interface ClientMetrics {
  /** Checks were answered. */
  checked?(event: { readonly answer: boolean; readonly source: AnswerSource; readonly count: number }): void;
  /** Checks could not be answered; `outcome` says what their callers got instead. */
  unanswered?(event: {
    readonly code: StatusName;
    readonly reason: string | undefined;
    readonly outcome: "rejected" | "denied" | "allowed" | "known-blacklisted";
    readonly count: number;
  }): void;
  /** A call for checks came back; `code` is OK or why not. */
  called?(event: { readonly code: "OK" | StatusName; readonly jtis: number; readonly seconds: number }): void;
  /** A call is about to be repeated. */
  repeated?(event: { readonly code: StatusName; readonly waitMs: number }): void;
  /** The state has changed. */
  state?(state: ClientState): void;
}

/** `metrics`, whose methods cannot break a check by throwing. A method that is absent stays absent, and costs nothing. */
export function guardedMetrics(metrics: ClientMetrics): ClientMetrics {
  const guarded: Record<string, (event: never) => void> = {};
  for (const name of ["checked", "unanswered", "called", "repeated", "state"] as const) {
    if (metrics[name] === undefined) continue;
    guarded[name] = (event: never) => {
      try {
        (metrics[name] as (event: never) => void)(event);
      } catch {
        // A counter that is broken must not decide about a token.
      }
    };
  }
  return guarded as ClientMetrics;
}
