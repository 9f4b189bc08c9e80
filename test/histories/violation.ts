import type { Instant, Operation } from "./history.ts";

/** A broken promise, and the operations that prove it. */
export interface Violation {
  readonly rule: string;
  /** Absent if it does not concern one token. */
  readonly jti: string | undefined;
  readonly operations: readonly Operation[];
}

/** For people: times in milliseconds since `began`. */
export function describeViolation({ rule, jti, operations }: Violation, began: Instant): string {
  const subject = jti === undefined ? rule : `${rule}: ${jti}`;
  return [subject, ...operations.map((operation) => `  ${describe(operation, jti, began)}`)].join("\n");
}

function describe(operation: Operation, jti: string | undefined, began: Instant): string {
  const time = `${(operation.from - began).toFixed(1)} to ${(operation.to - began).toFixed(1)} ms`;
  const said = operation.kind === "blacklist" ? ofBlacklist(operation, jti) : ofCheck(operation, jti);
  const asked =
    operation.kind === "check" && operation.gateway !== undefined
      ? `gateway ${operation.gateway}`
      : `replica ${operation.replica}`;
  return `${time}, ${asked}, ${said}`;
}

function ofBlacklist(call: Operation & { kind: "blacklist" }, jti: string | undefined): string {
  const index = call.tokens.findIndex((token) => token.jti === jti);
  const result = call.answer?.results[index];
  return result === undefined
    ? `Blacklist of ${call.tokens.length} jtis: ${call.failure}`
    : `Blacklist of ${call.tokens.length} jtis: ${result.outcome}, until ${new Date(result.validUntil).toISOString()}, revision ${call.answer?.revision}`;
}

function ofCheck(call: Operation & { kind: "check" }, jti: string | undefined): string {
  const { freshness, answer } = call;
  const wanted =
    freshness.kind === "fresh"
      ? "fresh"
      : freshness.kind === "at-least"
        ? `at least ${freshness.revision}`
        : `at most ${freshness.ms} ms old`;
  const verdict = jti === undefined ? answer?.verdicts.join() : answer?.verdicts[call.jtis.indexOf(jti)];
  return `check of ${call.jtis.length} jtis, ${wanted}: ${answer === undefined ? call.failure : answer.revision === "" ? verdict : `${verdict}, revision ${answer.revision}`}`;
}
