import type { CheckCall, History } from "./history.ts";
import { negativesAfter, negativesPastRevision, negativesWhileReadOnly, proofsOf } from "./negative-rules.ts";
import { type Register, registersOf } from "./registers.ts";
import { acknowledgedNumbers, numberOf, orderedRevisions } from "./revisions.ts";
import type { Violation } from "./violation.ts";
import { createdByNobody, createdLate, createdTwice, positivesFromNowhere, weakened } from "./write-rules.ts";

/**
 * Everything in `history` that the contract rules out. A jti is a register that is written once, so this is exact where a
 * general test of linearizability has to search, and takes no longer than sorting does:
 *
 * - A negative speaks for a moment no later than the earliest end of an acknowledged Blacklist of that jti, or of a
 *   check answered "blacklisted". The moment is the check's start, or as much earlier as the staleness it allowed.
 * - A negative that names a revision, or was told to include one, includes no acknowledged Blacklist up to it.
 * - A positive has a Blacklist that began before it ended.
 * - A revision that another one has taken the place of, after a crash, rules nothing out.
 * - "Created" is told once, and by one of those who asked before anyone had been answered.
 * - What is stored is never shorter than what was acknowledged.
 *
 * Calls without an answer may have happened or not. Entries may run out; whatever could still be the reason to refuse a token counts.
 */
export function checkHistory(history: History): Violation[] {
  const isOrdered = orderedRevisions(history);
  return [
    ...badAnswers(history, isOrdered),
    ...registersOf(history).flatMap((register) => [...checkRegister(register, history, isOrdered)]),
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

function* badAnswers(history: History, isOrdered: (revision: string) => boolean): Generator<Violation> {
  const acknowledged = acknowledgedNumbers(history);
  for (const call of history.operations) {
    if (INEXCUSABLE.includes(call.failure)) {
      yield { rule: "an error that no fault excuses", jti: undefined, operations: [call] };
    }
    if (call.kind !== "check") continue;
    if (hasUnknownAlone(call)) {
      yield { rule: "unknown without anything known", jti: undefined, operations: [call] };
    }
    const { freshness, failure } = call;
    if (freshness.kind !== "at-least") continue;
    const { revision } = freshness;
    if (failure === "REVISION_LOST" && isOrdered(revision)) {
      yield { rule: "a revision said to be lost that is not", jti: undefined, operations: [call] };
    }
    const inItsPlace = acknowledged.get(numberOf(revision));
    const known = call.answer?.revision ?? "";
    // Who answers as of a later commit of this history has read it, and not the one that is named.
    const knowsBetter =
      inItsPlace !== undefined &&
      inItsPlace !== revision &&
      numberOf(known) >= numberOf(revision) &&
      acknowledged.get(numberOf(known)) === known;
    if (knowsBetter && call.answer?.verdicts.includes("not-blacklisted")) {
      yield { rule: "not blacklisted, as of a revision that is lost", jti: undefined, operations: [call] };
    }
  }
}

function hasUnknownAlone({ answer }: CheckCall): boolean {
  return answer?.verdicts.includes("unknown") === true && !answer.verdicts.includes("blacklisted");
}
