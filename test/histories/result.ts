import type { Plan } from "./plan.ts";

/** The result of one history. */
export interface Result extends Plan {
  /** "ok"; "violation"; "insufficient": too few attempts or responses to prove anything, or the cluster did not recover. */
  readonly verdict: "ok" | "violation" | "insufficient";
  /** Insufficient only because of too few attempts or responses, by its seed or by other load on the machine. */
  readonly onlyTooLittle: boolean;
  readonly operations: number;
  /** Of these, those that began during the fault. */
  readonly duringFault: number;
  readonly answered: number;
  readonly negatives: number;
  readonly positives: number;
  /** Of the operations, those sent to a gateway. */
  readonly byGateways: number;
  /** Verdicts on one jti that gateways took from their copies, and from the service, before the end; cached ones are neither. */
  readonly fromCopies: number;
  readonly fromService: number;
  /** Of those from copies, "not blacklisted". */
  readonly copyNegatives: number;
  /** The number of snapshots. */
  readonly snapshots: number;
  readonly milliseconds: number;
  /** The findings, for people; empty if none. */
  readonly problems: readonly string[];
}
