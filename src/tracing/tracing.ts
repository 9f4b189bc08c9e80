import { isSpanContextValid, type Tracer, trace } from "@opentelemetry/api";
import type { Observer } from "../blacklist/observer.ts";
import type { Clock } from "../time/clock.ts";
import { type GrpcMethod, MethodSpans } from "./method-spans.ts";
import { RequestSpans } from "./request-spans.ts";
import { SharedSpans } from "./shared-spans.ts";

interface Options {
  readonly clock: Clock;
  /** The version of this program, which identifies the source of the spans. */
  readonly version: string;
}

/** Creates spans of calls and of their waits. Exists only if spans are recorded. */
export class Tracing {
  readonly #tracer: Tracer;
  readonly #clock: Clock;

  constructor(tracer: Tracer, clock: Clock) {
    this.#tracer = tracer;
    this.#clock = clock;
  }

  /** Creates the spans of a gRPC method's calls. */
  method(method: GrpcMethod): MethodSpans {
    return new MethodSpans(method, { tracer: this.#tracer, clock: this.#clock });
  }

  /** Creates the spans of HTTP requests. `route` is the only served path. */
  requests(route: string): RequestSpans {
    return new RequestSpans(route, { tracer: this.#tracer, clock: this.#clock });
  }

  /** Wraps `observer` with one that also creates spans of shared reads and commits. */
  observing(observer: Observer): Observer {
    return new SharedSpans(observer, { tracer: this.#tracer, clock: this.#clock });
  }
}

/**
 * Checks once, at start, whether a tracer provider has been registered by modules that the operator preloads. If not, returns undefined,
 * and calls run without any tracing code.
 */
export function openTracing({ clock, version }: Options): Tracing | undefined {
  const tracer = trace.getTracer("token-blacklist", version);
  return isRegistered(tracer) ? new Tracing(tracer, clock) : undefined;
}

/** The API's default tracer creates spans without a valid identity. A span that is never ended is not exported. */
function isRegistered(tracer: Tracer): boolean {
  return isSpanContextValid(tracer.startSpan("start", { root: true }).spanContext());
}
