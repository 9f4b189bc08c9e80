import { SchemaError, ServiceError, StartError } from "./errors.ts";

/** What an operator can mend, as a line they can read. */
export interface Failure {
  readonly text: string;
  /** True where trying again later may be all that is needed. */
  readonly unavailable: boolean;
}

/** `error` as such a line, or undefined where nobody foresaw it. */
export function failureOf(error: unknown): Failure | undefined {
  if (error instanceof StartError || error instanceof SchemaError) {
    return { text: error.message, unavailable: false };
  }
  if (!(error instanceof ServiceError)) return undefined;
  const { cause } = error;
  const because = cause instanceof Error ? `: ${cause.message}` : "";
  return { text: `${error.message}${because}`, unavailable: true };
}
