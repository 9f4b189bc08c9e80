import type { CheckCall, History, Instant, Interval } from "./history.ts";
import { type Proof, Proofs } from "./proofs.ts";
import type { Register } from "./registers.ts";
import { numberOf } from "./revisions.ts";
import type { Violation } from "./violation.ts";

/** The driver's clock and the service's, on one machine, agree to this many milliseconds. */
const CLOCK_MARGIN_MS = 10;

/** How far back, at most, the moment lies for which a check's negatives speak. */
function ageAllowed({ freshness }: CheckCall): number {
  if (freshness.kind === "fresh") return 0;
  return freshness.kind === "max-staleness" ? freshness.ms : Number.POSITIVE_INFINITY;
}

/** True where the entry that `proof` saw had not run out by the time of an answer at `to`. */
export function outlasts(proof: Proof | undefined, to: Instant): proof is Proof {
  return proof !== undefined && proof.validUntil > to + CLOCK_MARGIN_MS;
}

/** Acknowledged, or seen, before the moment that a negative speaks for. */
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

/** Part of the revision that a negative names, or was told to include. */
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

/** Answered by a database that was read-only throughout: it may have been demoted, and knows nothing for certain. */
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
 * What proves that an entry was there: acknowledgements, and positives. But a crash may undo a commit that others have seen and
 * nobody was told of. Who has seen it goes on saying so: from before the crash, or from memory after it, since a known positive is
 * not hidden while the database is away. So of a jti whose first Blacklist began before a crash and was not
 * acknowledged by then, positives prove nothing.
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
  // Whichever write it saw, the entry lasts as long as the shortest.
  const shortest = Math.min(...writes.map(({ asked }) => asked));
  const seen = positives.map((check) => ({ since: check.to, validUntil: shortest, operation: check }));
  return new Proofs([...acknowledged, ...seen]);
}
