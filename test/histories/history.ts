/** Milliseconds since 1970 by the driver's monotonic clock, the time base of a history. */
export type Instant = number;

export interface Interval {
  readonly from: Instant;
  readonly to: Instant;
}

/** A call: `from` just before it was sent, `to` just after its response or timeout. */
interface Call extends Interval {
  /** The replica that was called; NO_REPLICA if none or unknown. */
  readonly replica: number;
  /** Why there is no response; absent if there is one. The effect of a call without a response is unknown. */
  readonly failure: string | undefined;
}

export interface BlacklistCall extends Call {
  readonly kind: "blacklist";
  readonly tokens: readonly { readonly jti: string; readonly validUntil: Instant }[];
  readonly answer:
    | {
        readonly revision: string;
        /** One for each token, in order. */
        readonly results: readonly { readonly outcome: Outcome; readonly validUntil: Instant }[];
      }
    | undefined;
}

export interface CheckCall extends Call {
  readonly kind: "check";
  /** The gateway that was asked, if any: it answers from its copy if possible, else asks a replica. */
  readonly gateway?: number;
  readonly jtis: readonly string[];
  readonly freshness: Freshness;
  /** Empty for a gateway, which returns no revision. */
  readonly answer: { readonly revision: string; readonly verdicts: readonly Verdict[] } | undefined;
}

/** Stands in place of a replica's number. */
export const NO_REPLICA = -1;

export type Operation = BlacklistCall | CheckCall;
export type Outcome = "created" | "extended" | "already";
export type Verdict = "blacklisted" | "not-blacklisted" | "unknown";

export type Freshness =
  | { readonly kind: "fresh" }
  /** True at some time within this many milliseconds before. */
  | { readonly kind: "max-staleness"; readonly ms: number }
  | { readonly kind: "at-least"; readonly revision: string };

/** Everything that clients observed while a fault came and went. Keys are new: they have no earlier history. */
export interface History {
  readonly operations: readonly Operation[];
  /** Kills of a database that may undo unacknowledged commits; empty if it has a binary log. */
  readonly undoings: readonly Interval[];
  /** When the database was certainly read-only. */
  readonly readOnly: readonly Interval[];
}
