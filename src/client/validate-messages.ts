import { type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import {
  type BlacklistRequest,
  type BlacklistResponse,
  type IsBlacklistedRequest,
  type IsBlacklistedResponse,
  BlacklistResult_Outcome as Outcome,
  Verdict,
} from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import type { Violation } from "../errors.ts";
import { ClientError, malformedAnswer } from "./client-error.ts";

/** Throws unless there is exactly one known verdict per jti. */
export function validateVerdicts({ jtis }: IsBlacklistedRequest, { verdicts }: IsBlacklistedResponse): void {
  if (verdicts.length !== jtis.length) {
    throw malformedAnswer(`the service answered ${verdicts.length} verdicts to ${jtis.length} jtis`);
  }
  const unknown = verdicts.find((verdict) => !isKnown(verdict, Verdict, Verdict.UNSPECIFIED));
  if (unknown !== undefined) throw malformedAnswer(`the service answered the unknown verdict ${unknown}`);
}

/** Throws unless there is exactly one result per token, for that token and with a known outcome. */
export function validateResults({ tokens }: BlacklistRequest, { results }: BlacklistResponse): void {
  if (results.length !== tokens.length) {
    throw malformedAnswer(`the service answered ${results.length} results to ${tokens.length} tokens`);
  }
  for (const [index, { token: stored, outcome }] of results.entries()) {
    if (!isKnown(outcome, Outcome, Outcome.UNSPECIFIED)) {
      throw malformedAnswer(`the service answered the unknown outcome ${outcome}`);
    }
    const asked = tokens[index]?.token;
    if (stored === undefined || (asked?.case === "jti" && asked.value !== stored.jti)) {
      throw malformedAnswer(`the service answered tokens[${index}] with another token`);
    }
  }
}

// proto3 enums are open: an unknown number from a later service is passed through.
function isKnown(value: number, names: Record<number, string>, unspecified: number): boolean {
  return value !== unspecified && names[value] !== undefined;
}

/** Throws a {@link ClientError} if `message` contains ill-formed text: see {@link illFormedStrings}. */
export function rejectIllFormedText(schema: DescMessage, message: object): void {
  const violations = illFormedStrings(schema, message);
  if (violations.length === 0) return;
  const text = "the request contains text that is not well-formed";
  throw new ClientError("INVALID_ARGUMENT", text, { reason: "INVALID_REQUEST", violations });
}

/**
 * A violation for each string in `message` that contains an unpaired surrogate, with the path of its field. Encoding would turn the
 * surrogate into U+FFFD, and so a check of one token into a check of another token.
 */
function illFormedStrings(schema: DescMessage, message: object, path = ""): Violation[] {
  const found: Violation[] = [];
  for (const field of schema.fields) {
    const value = fieldValue(field, message);
    if (value === undefined) continue;
    const name = `${path}${field.name}`;
    if (!Array.isArray(value)) {
      inspect(field, value, name, found);
      continue;
    }
    // A call may have a thousand jtis: their paths are built only if a jti is ill-formed.
    if (field.scalar === ScalarType.STRING && value.every((text: string) => text.isWellFormed())) continue;
    for (const [index, element] of value.entries()) inspect(field, element, `${name}[${index}]`, found);
  }
  return found;
}

function inspect(field: DescField, value: unknown, name: string, found: Violation[]): void {
  if (field.message !== undefined) {
    found.push(...illFormedStrings(field.message, value as object, `${name}.`));
  } else if (field.scalar === ScalarType.STRING && !(value as string).isWellFormed()) {
    found.push({ field: name, description: "must be well-formed Unicode" });
  }
}

function fieldValue(field: DescField, message: object): unknown {
  const values = message as Record<string, unknown>;
  if (field.oneof === undefined) return values[field.localName];
  const chosen = values[field.oneof.localName] as { case: string | undefined; value?: unknown };
  return chosen.case === field.localName ? chosen.value : undefined;
}
