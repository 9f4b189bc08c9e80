import type { Freshness, Instant, Verdict } from "./history.ts";

/** A request of the driver to a gateway's process. */
export type GatewayQuestion = { readonly id: number } & (
  | {
      readonly kind: "ask";
      readonly jtis: readonly string[];
      readonly freshness: Freshness;
      readonly timeoutMs: number;
    }
  | { readonly kind: "peek"; readonly jti: string; readonly maxStalenessMs: number }
);

/** The result, timed in the gateway, so that communication between the processes does not count. */
export interface GatewayAnswer {
  readonly from: Instant;
  readonly to: Instant;
  /** Why there is no result; absent if there is one. */
  readonly failure?: string | undefined;
  /** One for each jti, in order. */
  readonly verdicts?: readonly Verdict[] | undefined;
}

/** The sources of a gateway's verdicts since its process began. */
export interface GatewayCounts {
  /** From its copy, `peek` included. */
  readonly copy: number;
  /** Of these, "not blacklisted". */
  readonly copyNegatives: number;
  readonly service: number;
  /** The number of snapshots. */
  readonly snapshots: number;
}

export interface GatewayReply {
  readonly id: number;
  readonly answer: GatewayAnswer;
  readonly counts: GatewayCounts;
  /** The last log line, for people. */
  readonly standing: string;
}

/** The parameters of a gateway's process, in its environment as JSON. */
export interface GatewaySetup {
  readonly addresses: readonly string[];
  /** How far its wall clock is ahead, in milliseconds. */
  readonly skewMs: number;
  /** The offset of the driver's time to the machine's monotonic clock, in milliseconds. */
  readonly clockOffset: number;
}
