import { isSpanContextValid, type Tracer, trace } from "@opentelemetry/api";
import type { Observer } from "../blacklist/observer.ts";
import type { Clock } from "../clock.ts";
import { type GrpcMethod, MethodSpans } from "./method-spans.ts";
import { RequestSpans } from "./request-spans.ts";
import { SharedSpans } from "./shared-spans.ts";

interface Parts {
  readonly clock: Clock;
  /** Of this program: what made the spans. */
  readonly version: string;
}

/** What makes spans of calls, and of what they wait for. There is none where nobody takes spans. */
export class Tracing {
  readonly #tracer: Tracer;
  readonly #clock: Clock;

  constructor(tracer: Tracer, clock: Clock) {
    this.#tracer = tracer;
    this.#clock = clock;
  }

  /** Where the calls of a method of gRPC become spans. */
  method(method: GrpcMethod): MethodSpans {
    return new MethodSpans(method, { tracer: this.#tracer, clock: this.#clock });
  }

  /** Where requests over HTTP become spans. `route` is the only path there is. */
  requests(route: string): RequestSpans {
    return new RequestSpans(route, { tracer: this.#tracer, clock: this.#clock });
  }

  /** Tells `observer` all that it is told, and makes spans of what calls share. */
  observing(observer: Observer): Observer {
    return new SharedSpans(observer, { tracer: this.#tracer, clock: this.#clock });
  }
}

/**
 * Asks once, at start, whether somebody takes spans: a provider that was registered before, by what the operator has preloaded. If
 * not there is nothing to trace with, and nothing of it on the way of any call.
 */
export function openTracing({ clock, version }: Parts): Tracing | undefined {
  const tracer = trace.getTracer("token-blacklist", version);
  return isTaken(tracer) ? new Tracing(tracer, clock) : undefined;
}

/** The API's own tracer, which does nothing, is known by spans without an identity. One that is never ended is exported nowhere. */
function isTaken(tracer: Tracer): boolean {
  return isSpanContextValid(tracer.startSpan("start", { root: true }).spanContext());
}
