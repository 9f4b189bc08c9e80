import type { DescMessage } from "@bufbuild/protobuf";
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import type { EpochMs } from "../entry.ts";
import { invalidRequest, type ServiceError, type Violation, type ViolationReason } from "../errors.ts";
import { MAX_BATCH } from "../limits.ts";
import { fromTimestamp } from "../protobuf/timestamps.ts";
import { isRawToken } from "../raw-token.ts";

/** Collects the violations of a request, so that its error has all of them. */
export class Violations {
  #found: Violation[] = [];

  add(field: string, description: string, reason?: ViolationReason): void {
    this.#found.push({ field, description, ...(reason === undefined ? {} : { reason }) });
  }

  /** Like {@link check}, for a field with the value `jti`. */
  checkJti(field: string, jti: string, problem: string | undefined): void {
    if (problem !== undefined) this.add(field, problem, isRawToken(jti) ? "RAW_TOKEN" : undefined);
  }

  /** Adds a violation of `field` with the description `problem`. No effect if `problem` is undefined. */
  check(field: string, problem: string | undefined): void {
    if (problem !== undefined) this.add(field, problem);
  }

  /** Checks the number of elements of a repeated field. */
  checkBatch(field: string, length: number): void {
    if (length < 1) this.add(field, `must hold 1 to ${MAX_BATCH}, not 0`);
    // At most one element above the limit is decoded, so the number of elements is unknown.
    if (length > MAX_BATCH) this.add(field, `must hold 1 to ${MAX_BATCH}, not more`);
  }

  checkJtis(field: string, jtis: readonly string[], problemOf: (jti: string) => string | undefined): void {
    // Elements above the limit are a violation by themselves.
    const end = Math.min(jtis.length, MAX_BATCH);
    for (let index = 0; index < end; index++) {
      const jti = jtis[index] as string;
      const problem = problemOf(jti);
      // Most jtis have no problem: build no path for them.
      if (problem !== undefined) this.checkJti(`${field}[${index}]`, jti, problem);
    }
  }

  /** The result of `read`. If it throws a RangeError, adds the message as a violation and returns undefined. */
  attempt<T>(field: string, read: () => T): T | undefined {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      this.add(field, error.message);
      return undefined;
    }
  }

  /** The time; undefined if it is absent or invalid. Adds a violation if it is invalid. */
  time(field: string, timestamp: Timestamp | undefined): EpochMs | undefined {
    return timestamp === undefined ? undefined : this.attempt(field, () => fromTimestamp(timestamp));
  }

  throwIfAny(): void {
    if (this.#found.length > 0) throw invalidRequest(this.#found);
  }
}

/** The error for a message that cannot be decoded. */
export function malformedRequest({ typeName }: DescMessage): ServiceError {
  return invalidRequest([{ field: "", description: `the message is not a well-formed ${typeName}` }]);
}
