import type { BlacklistCall, CheckCall, History, Instant, Outcome } from "./history.ts";

/** One token of one Blacklist call. */
export interface Write {
  readonly call: BlacklistCall;
  /** The requested end of the entry. If acknowledged, it is effective as of the revision in the response. */
  readonly asked: Instant;
  /**
   * The end of the entry if this was acknowledged. The response may show a later extension by another client,
   * but a crash can undo that one.
   */
  readonly assured: Instant;
  /** The result in the response; absent if there was none. */
  readonly told:
    | { readonly outcome: Outcome; readonly validUntil: Instant; readonly revision: string }
    | undefined;
}

/** All operations on one jti. */
export interface Register {
  readonly jti: string;
  readonly writes: Write[];
  readonly positives: CheckCall[];
  readonly negatives: CheckCall[];
}

/** A history is linearizable if the history of each of its registers is. */
export function registersOf({ operations, undoings }: History): Register[] {
  const registers = new Map<string, Register>();
  function register(jti: string): Register {
    let found = registers.get(jti);
    if (found === undefined) {
      found = { jti, writes: [], positives: [], negatives: [] };
      registers.set(jti, found);
    }
    return found;
  }

  for (const call of operations) {
    if (call.kind === "blacklist") {
      for (const [index, { jti, validUntil }] of call.tokens.entries()) {
        const result = call.answer?.results[index];
        const told = result && { ...result, revision: call.answer.revision };
        const assured = undoings.length === 0 && told !== undefined ? told.validUntil : validUntil;
        register(jti).writes.push({ call, asked: validUntil, assured, told });
      }
    } else {
      for (const [index, jti] of call.jtis.entries()) {
        const verdict = call.answer?.verdicts[index];
        if (verdict === "blacklisted") register(jti).positives.push(call);
        if (verdict === "not-blacklisted") register(jti).negatives.push(call);
      }
    }
  }
  return [...registers.values()];
}
