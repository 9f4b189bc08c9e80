import { diag } from "@opentelemetry/api";

/**
 * Runs `work`; returns undefined if it throws. Samplers, propagators and processors are third-party code, and an error in one must not end
 * a call or break what calls share. The error goes to OpenTelemetry's diagnostics.
 */
export function guarded<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    diag.error("token-blacklist: a span is lost", error);
    return undefined;
  }
}
