/** Milliseconds since 1970 by the driver's monotonic clock, on which everything in a history is timed. */
export type Instant = number;

export interface Interval {
  readonly from: Instant;
  readonly to: Instant;
}

/** A call: `from` just before it was sent, `to` just after it was answered or given up. */
interface Call extends Interval {
  /** Which replica was asked; NOBODY where it was none, or not known which. */
  readonly replica: number;
  /** Why there is no answer; absent where there is one. What a call without an answer did is unknown. */
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
  /** Which gateway was asked, where one was: it answers from its copy if it can, else asks a replica. */
  readonly gateway?: number;
  readonly jtis: readonly string[];
  readonly freshness: Freshness;
  /** A gateway names no revision: the text is empty. */
  readonly answer: { readonly revision: string; readonly verdicts: readonly Verdict[] } | undefined;
}

/** In the place of a replica's number. */
export const NOBODY = -1;

export type Operation = BlacklistCall | CheckCall;
export type Outcome = "created" | "extended" | "already";
export type Verdict = "blacklisted" | "not-blacklisted" | "unknown";

export type Freshness =
  | { readonly kind: "fresh" }
  /** True at some moment not longer ago than this, in milliseconds. */
  | { readonly kind: "max-staleness"; readonly ms: number }
  | { readonly kind: "at-least"; readonly revision: string };

/** All that clients saw while a fault came and went. Keys are new: nothing happened to them before. */
export interface History {
  readonly operations: readonly Operation[];
  /** Kills of a database that may undo commits which nobody was told of: empty where it keeps a binary log. */
  readonly undoings: readonly Interval[];
  /** When the database surely was read-only, from the first moment to the last. */
  readonly readOnly: readonly Interval[];
}
