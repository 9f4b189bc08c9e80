import type { CheckCall, History, Instant, Interval } from "./history.ts";
import { type Proof, Proofs } from "./proofs.ts";
import type { Register } from "./registers.ts";
import { numberOf } from "./revisions.ts";
import type { Violation } from "./violation.ts";

/** The maximum difference between the driver's and the service's clock on one machine, in milliseconds. */
const CLOCK_MARGIN_MS = 10;

/** The maximum age of the time for which a check's negatives are valid. */
function ageAllowed({ freshness }: CheckCall): number {
  if (freshness.kind === "fresh") return 0;
  return freshness.kind === "max-staleness" ? freshness.ms : Number.POSITIVE_INFINITY;
}

/** Whether the entry that `proof` saw was still effective at the time of a response at `to`. */
export function outlasts(proof: Proof | undefined, to: Instant): proof is Proof {
  return proof !== undefined && proof.validUntil > to + CLOCK_MARGIN_MS;
}

/** Acknowledged, or observed, before the time for which a negative is valid. */
export function* negativesAfter(register: Register, proofs: Proofs): Generator<Violation> {
  for (const check of register.negatives) {
    const proof = proofs.before(check.from - ageAllowed(check));
    if (outlasts(proof, check.to)) {
      yield {
        rule: "not blacklisted, after it was known to be",
        jti: register.jti,
        operations: [proof.operation, check],
      };
    }
  }
}

/** Included in the revision that a negative returned or was asked to include. */
export function* negativesPastRevision(
  register: Register,
  isOrdered: (revision: string) => boolean,
): Generator<Violation> {
  const proofs = new Proofs(
    register.writes.flatMap(({ call, asked, told }) =>
      told === undefined ? [] : [{ since: numberOf(told.revision), validUntil: asked, operation: call }],
    ),
  );
  for (const check of register.negatives) {
    const { freshness, answer } = check;
    const asked = freshness.kind === "at-least" ? [freshness.revision] : [];
    const known = answer?.revision ?? "";
    const named = [...asked, ...(known === "" ? [] : [known])].filter(isOrdered).map(numberOf);
    const proof = proofs.before(Math.max(...named) + 1);
    if (outlasts(proof, check.to)) {
      yield {
        rule: "not blacklisted, as of a revision that includes it",
        jti: register.jti,
        operations: [proof.operation, check],
      };
    }
  }
}

/** Answered by a database that was read-only throughout: it may have been demoted, so its data proves nothing. */
export function* negativesWhileReadOnly(
  register: Register,
  readOnly: readonly Interval[],
): Generator<Violation> {
  for (const check of register.negatives) {
    const since = check.from - ageAllowed(check);
    if (readOnly.some(({ from, to }) => since > from && check.to < to)) {
      yield {
        rule: "not blacklisted, while the database was read-only",
        jti: register.jti,
        operations: [check],
      };
    }
  }
}

/**
 * Proofs that an entry existed: acknowledgements and positives. But a crash may undo a commit that others have read and
 * that was not acknowledged. A process that has read it keeps reporting it: from before the crash, or from memory afterwards, since known
 * positives are reported while the database is unavailable. So positives prove nothing for a jti whose first Blacklist began before a crash and
 * was not acknowledged by then.
 */
export function proofsOf({ writes, positives }: Register, { undoings }: History): Proofs {
  const acknowledged = writes.flatMap(({ call, assured, told }) =>
    told === undefined ? [] : [{ since: call.to, validUntil: assured, operation: call }],
  );
  const firstAcknowledged = Math.min(...acknowledged.map(({ since }) => since));
  const firstBegun = Math.min(...writes.map(({ call }) => call.from));
  if (undoings.some(({ from, to }) => firstBegun < to && firstAcknowledged >= from)) {
    return new Proofs(acknowledged);
  }
  // The entry lasts at least as long as the shortest write that it may have seen.
  const shortest = Math.min(...writes.map(({ asked }) => asked));
  const seen = positives.map((check) => ({ since: check.to, validUntil: shortest, operation: check }));
  return new Proofs([...acknowledged, ...seen]);
}
