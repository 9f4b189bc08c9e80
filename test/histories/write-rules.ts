import { outlasts } from "./negative-rules.ts";
import { Proofs } from "./proofs.ts";
import type { Register, Write } from "./registers.ts";
import type { Violation } from "./violation.ts";

type Told = Write & { readonly told: NonNullable<Write["told"]> };

function toldOf({ writes }: Register): Told[] {
  return writes.filter((write): write is Told => write.told !== undefined);
}

/** Blacklisted before any request to blacklist it. */
export function* positivesFromNowhere({ jti, writes, positives }: Register): Generator<Violation> {
  const first = Math.min(...writes.map(({ call }) => call.from));
  for (const check of positives) {
    if (check.to < first) yield { rule: "blacklisted before anyone asked for it", jti, operations: [check] };
  }
}

/** "Created" returned for an entry that another request created and that had not expired in between, in either order. */
export function* createdTwice(register: Register): Generator<Violation> {
  const created = toldOf(register)
    .filter(({ told }) => told.outcome === "created")
    .sort((a, b) => a.call.to - b.call.to);
  let longest: Told | undefined;
  for (const write of created) {
    if (
      longest !== undefined &&
      outlasts(proofBy(longest), write.call.to) &&
      outlasts(proofBy(write), longest.call.to)
    ) {
      yield {
        rule: "created twice",
        jti: register.jti,
        operations: [longest.call, write.call],
      };
    }
    if (longest === undefined || write.assured > longest.assured) longest = write;
  }
}

/** "Created" returned although the entry had been observed before the call. */
export function* createdLate(register: Register, proofs: Proofs): Generator<Violation> {
  for (const { call, told } of toldOf(register)) {
    const proof = told.outcome === "created" ? proofs.before(call.from) : undefined;
    if (outlasts(proof, call.to)) {
      yield {
        rule: "created, after it was known to be there",
        jti: register.jti,
        operations: [proof.operation, call],
      };
    }
  }
}

/** "Created" returned to no call, although all calls that could have received it have responses. */
export function* createdByNobody(register: Register): Generator<Violation> {
  const told = toldOf(register);
  const first = told.reduce<Told | undefined>(
    (earliest, write) => (earliest === undefined || write.call.to < earliest.call.to ? write : earliest),
    undefined,
  );
  if (first === undefined) return;
  const candidates = register.writes.filter(({ call }) => call.from < first.call.to);
  if (candidates.some((write) => write.told === undefined || write.told.outcome === "created")) return;
  yield { rule: "created in no response", jti: register.jti, operations: [first.call] };
}

/** Stored with an earlier expiry than requested, or than acknowledged before for an unexpired entry. */
export function* weakened(register: Register): Generator<Violation> {
  const told = toldOf(register);
  const acknowledged = new Proofs(told.map(proofBy));
  for (const write of told) {
    const { call, asked } = write;
    const before = acknowledged.before(call.from);
    if (write.told.validUntil < asked) {
      yield { rule: "shorter than asked for", jti: register.jti, operations: [call] };
    } else if (outlasts(before, call.to) && before.validUntil > write.told.validUntil) {
      yield { rule: "shortened", jti: register.jti, operations: [before.operation, call] };
    }
  }
}

function proofBy({ call, assured }: Told) {
  return { since: call.to, validUntil: assured, operation: call };
}
