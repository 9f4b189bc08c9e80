import type { CheckCall, History } from "./history.ts";
import { negativesAfter, negativesPastRevision, negativesWhileReadOnly, proofsOf } from "./negative-rules.ts";
import { type Register, registersOf } from "./registers.ts";
import { acknowledgedNumbers, numberOf, orderedRevisions } from "./revisions.ts";
import type { Violation } from "./violation.ts";
import { createdByNobody, createdLate, createdTwice, positivesFromNowhere, weakened } from "./write-rules.ts";

/**
 * Finds every violation of the contract in `history`. A jti is a register that is written once, so this check is exact where a
 * general test of linearizability has to search, and takes no longer than sorting:
 *
 * - A negative is valid for a time no later than the earliest end of an acknowledged Blacklist of that jti, or of a
 *     check that returned "blacklisted". That time is the check's start, or earlier by the allowed staleness.
 * - A negative that returned a revision, or was asked to include one, includes no acknowledged Blacklist up to it.
 * - A positive has a Blacklist that began before the positive ended.
 * - A revision that was replaced by another one after a crash excludes nothing.
 * - "Created" is returned once, to one of those that called before any of them had a response.
 * - A stored expiry is never earlier than an acknowledged one.
 *
 * Calls without a response may have had an effect or not. Entries may expire; an entry counts as long as a token may still have to be rejected.
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

/** Failures that no fault excuses: the service's, and those of a client that cannot parse a response. */
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
    // A response as of a later commit of this history has read that commit, not the named one.
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
