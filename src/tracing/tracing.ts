import { isSpanContextValid, type Tracer, trace } from "@opentelemetry/api";
import type { Clock } from "../time/clock.ts";
import type { Tracing } from "./call-spans.ts";

interface Options {
  readonly clock: Clock;
  /** The version of this program, which identifies the source of the spans. */
  readonly version: string;
}

/**
 * Checks once, at start, whether a tracer provider has been registered by modules that the operator preloads. If not, returns undefined,
 * and calls run without any tracing code.
 */
export function openTracing({ clock, version }: Options): Tracing | undefined {
  const tracer = trace.getTracer("token-blacklist", version);
  return isRegistered(tracer) ? { tracer, clock } : undefined;
}

/** Without a provider, the API's default tracer creates spans without a valid identity. This span is never ended, so never exported. */
function isRegistered(tracer: Tracer): boolean {
  return isSpanContextValid(tracer.startSpan("start", { root: true }).spanContext());
}
