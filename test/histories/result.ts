import type { Plan } from "./plan.ts";

/** What became of one history. */
export interface Result extends Plan {
  /** "ok"; "violation"; "insufficient": too little was tried or answered to prove anything, or the cluster did not recover. */
  readonly verdict: "ok" | "violation" | "insufficient";
  /** Insufficient, and only because too little was tried or answered: by its seed, or by what else the machine did. */
  readonly onlyTooLittle: boolean;
  readonly operations: number;
  /** Of them, those that began while the fault lasted. */
  readonly duringFault: number;
  readonly answered: number;
  readonly negatives: number;
  readonly positives: number;
  /** Of the operations, those that a gateway was asked. */
  readonly byGateways: number;
  /** Answers about one jti that gateways had from their copies, and from the service, before the end; remembered ones are neither. */
  readonly fromCopies: number;
  readonly fromService: number;
  /** Of those from copies, "not blacklisted". */
  readonly copyNegatives: number;
  /** Times that a copy was filled from the beginning. */
  readonly snapshots: number;
  readonly milliseconds: number;
  /** What is wrong with it, for people; empty where nothing is. */
  readonly problems: readonly string[];
}
