import type { CheckCall, History } from "./history.ts";
import { negativesAfter, negativesPastRevision, negativesWhileReadOnly, proofsOf } from "./negative-rules.ts";
import { type Register, registersOf } from "./registers.ts";
import { orderedRevisions } from "./revisions.ts";
import type { Violation } from "./violation.ts";
import {
  createdByNobody,
  createdLate,
  createdTwice,
  positivesFromNowhere,
  weakened,
} from "./write-rules.ts";

/**
 * Everything in `history` that the contract rules out. A jti is a register that is written once, so this is exact where a
 * general test of linearizability has to search, and takes no longer than sorting does:
 *
 * - A negative speaks for a moment no later than the earliest end of an acknowledged Blacklist of that jti, or of a
 *   check answered "blacklisted". The moment is the check's start, or as much earlier as the staleness it allowed.
 * - A negative that names a revision, or was told to include one, includes no acknowledged Blacklist up to it.
 * - A positive has a Blacklist that began before it ended.
 * - "Created" is told once, and by one of those who asked before anyone had been answered.
 * - What is stored is never shorter than what was acknowledged.
 *
 * Calls without an answer may have happened or not. Entries may run out; whatever could still be the reason to refuse a token counts.
 */
export function checkHistory(history: History): Violation[] {
  const isOrdered = orderedRevisions(history);
  return [
    ...badAnswers(history, isOrdered),
    ...registersOf(history.operations).flatMap((register) => [
      ...checkRegister(register, history, isOrdered),
    ]),
  ];
}

function* checkRegister(
  register: Register,
  history: History,
  isOrdered: (revision: string) => boolean,
): Generator<Violation> {
  const proofs = proofsOf(register, history);
  yield* negativesAfter(register, proofs);
  yield* negativesPastRevision(register, isOrdered);
  yield* negativesWhileReadOnly(register, history.readOnly);
  yield* positivesFromNowhere(register);
  yield* createdTwice(register);
  yield* createdLate(register, proofs);
  yield* createdByNobody(register);
  yield* weakened(register);
}

/** Failures that no fault excuses: the service's own, and those of a client that cannot make sense of an answer. */
const INEXCUSABLE: readonly (string | undefined)[] = ["INTERNAL", "MALFORMED_ANSWER"];

function* badAnswers(
  { operations }: History,
  isOrdered: (revision: string) => boolean,
): Generator<Violation> {
  for (const call of operations) {
    if (INEXCUSABLE.includes(call.failure)) {
      yield { rule: "an error that no fault excuses", jti: undefined, operations: [call] };
    }
    if (call.kind !== "check") continue;
    if (hasUnknownAlone(call)) {
      yield { rule: "unknown without anything known", jti: undefined, operations: [call] };
    }
    const { freshness, failure } = call;
    if (failure === "REVISION_LOST" && freshness.kind === "at-least" && isOrdered(freshness.revision)) {
      yield { rule: "a revision said to be lost that is not", jti: undefined, operations: [call] };
    }
  }
}

function hasUnknownAlone({ answer }: CheckCall): boolean {
  return (
    answer !== undefined && answer.verdicts.includes("unknown") && !answer.verdicts.includes("blacklisted")
  );
}
