import { type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import type { Violation } from "../errors.ts";
import { ClientError } from "./client-error.ts";

/** Throws a {@link ClientError} if `message` contains ill-formed text: see {@link illFormedStrings}. */
export function rejectIllFormedText(schema: DescMessage, message: object): void {
  const violations = illFormedStrings(schema, message);
  if (violations.length === 0) return;
  const text = "the request holds text that is not well-formed";
  throw new ClientError("INVALID_ARGUMENT", text, { reason: "INVALID_REQUEST", violations });
}

/**
 * The strings in `message` that contain an unpaired surrogate, by the path of their field. Encoding would turn a surrogate into
 * U+FFFD, and a check of one token into a check of another.
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
    // A call may have a thousand jtis: their paths are built only if one is ill-formed.
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
