import type { Freshness, Instant, Verdict } from "./history.ts";

/** What the driver asks of a gateway, which is a process of its own. */
export type GatewayQuestion = { readonly id: number } & (
  | {
      readonly kind: "ask";
      readonly jtis: readonly string[];
      readonly freshness: Freshness;
      readonly timeoutMs: number;
    }
  | { readonly kind: "peek"; readonly jti: string; readonly maxStalenessMs: number }
);

/** What became of it, timed where it was asked: the way between the two processes is no part of it. */
export interface GatewayAnswer {
  readonly from: Instant;
  readonly to: Instant;
  /** Why there is no answer; absent where there is one. */
  readonly failure?: string | undefined;
  /** One for each jti, in order. */
  readonly verdicts?: readonly Verdict[] | undefined;
}

/** Where a gateway's answers came from, one for each jti, since its process began. */
export interface GatewayCounts {
  /** From its copy, `peek` included. */
  readonly copy: number;
  /** Of them, "not blacklisted". */
  readonly copyNegatives: number;
  readonly service: number;
  /** Times that the copy was filled from the beginning. */
  readonly snapshots: number;
}

export interface GatewayReply {
  readonly id: number;
  readonly answer: GatewayAnswer;
  readonly counts: GatewayCounts;
  /** The last that its log said; for people. */
  readonly standing: string;
}

/** What the driver tells a gateway's process in its environment, as JSON. */
export interface GatewaySetup {
  readonly addresses: readonly string[];
  /** By how much its wall clock is ahead, in milliseconds. */
  readonly skewMs: number;
  /** What has to be added to the machine's monotonic clock, in milliseconds, to get an instant of the driver's. */
  readonly clockOffset: number;
}
