import { diag } from "@opentelemetry/api";

/**
 * Does `work`, and returns undefined where it throws. Samplers, propagators and processors are others' code: one that is broken must not
 * end a call, or what all calls share. OpenTelemetry's own diagnostics are told.
 */
export function harmless<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    diag.error("token-blacklist: a span is lost", error);
    return undefined;
  }
}
