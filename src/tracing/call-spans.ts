import {
  type Attributes,
  type Context,
  diag,
  isSpanContextValid,
  propagation,
  ROOT_CONTEXT,
  type Span,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  type TextMapGetter,
  type Tracer,
  trace,
} from "@opentelemetry/api";
import type { CallTrace, Wait } from "../caller.ts";
import type { Clock } from "../time/clock.ts";

/** What is needed to create spans. There is no such object unless a tracer provider is registered. */
export interface Tracing {
  readonly tracer: Tracer;
  readonly clock: Clock;
}

/**
 * Checks once, at start, whether a tracer provider has been registered by modules that the operator preloads. If not, returns undefined,
 * and calls run without any tracing code.
 */
export function openTracing({ clock, version }: { clock: Clock; version: string }): Tracing | undefined {
  const tracer = trace.getTracer("token-blacklist", version);
  return isRegistered(tracer) ? { tracer, clock } : undefined;
}

/**
 * Whether a provider is registered. Without a provider, the API's default tracer creates spans without a valid identity. The span created here
 * is never ended, and so never exported.
 */
function isRegistered(tracer: Tracer): boolean {
  return isSpanContextValid(tracer.startSpan("start", { root: true }).spanContext());
}

interface CallStart<C> {
  readonly name: string;
  readonly attributes: Attributes;
  /** The metadata or headers of the call, from which `getter` reads the caller's trace context. */
  readonly carrier: C;
  readonly getter: TextMapGetter<C>;
}

/** Starts the span of a call. Undefined if the span is not recorded, so that further tracing of the call costs nothing. */
export function beginCall<C>(
  tracing: Tracing,
  { name, attributes, carrier, getter }: CallStart<C>,
): CallSpans | undefined {
  return guarded(() => {
    const parent = propagation.extract(ROOT_CONTEXT, carrier, getter);
    const span = tracing.tracer.startSpan(name, { kind: SpanKind.SERVER, attributes }, parent);
    return span.isRecording() ? new CallSpans(tracing, span, trace.setSpan(parent, span)) : undefined;
  });
}

/** The peer's address, given as `host:port`, in OpenTelemetry's attributes. */
export function peerAttributes(peer: string): Attributes {
  const [, address, port] = /^\[?(.+?)\]?:(\d+)$/.exec(peer) ?? [];
  return address === undefined ? {} : { "network.peer.address": address, "network.peer.port": Number(port) };
}

/** The wait of a call that waits now. */
interface CurrentWait {
  readonly span: Span;
  readonly context: Context;
  /** The beginning by both clocks, so that a step of the wall clock does not shift spans within the wait. */
  readonly wall: number;
  readonly monotonic: number;
}

/** The spans of one call: the span of the call itself and, as its children, a span for each wait. */
export class CallSpans implements CallTrace {
  readonly #span: Span;
  readonly #context: Context;
  readonly #tracing: Tracing;
  #wait: CurrentWait | undefined;

  /** `context` must have `span` as its active span. */
  constructor(tracing: Tracing, span: Span, context: Context) {
    this.#tracing = tracing;
    this.#span = span;
    this.#context = context;
  }

  waits(what: Wait): void {
    this.endWait();
    const { tracer, clock } = this.#tracing;
    this.#wait = guarded(() => {
      const span = tracer.startSpan(`wait for ${what}`, {}, this.#context);
      const context = trace.setSpan(this.#context, span);
      return { span, context, wall: clock.now(), monotonic: clock.monotonic() };
    });
  }

  /** The current wait; undefined while the call does not wait. */
  get wait(): CurrentWait | undefined {
    return this.#wait;
  }

  /** Links the current wait to a shared span in another call's trace. */
  link(span: SpanContext): void {
    this.#wait?.span.addLink({ context: span });
  }

  endWait(): void {
    const wait = this.#wait;
    this.#wait = undefined;
    if (wait !== undefined) guarded(() => wait.span.end());
  }

  /** Ends the call's span and its current wait. `error` is the failure in one word; absent if the call succeeded. */
  end(attributes: Attributes, error?: string): void {
    this.endWait();
    guarded(() => {
      this.#span.setAttributes(attributes);
      if (error !== undefined) {
        this.#span.setAttribute("error.type", error).setStatus({ code: SpanStatusCode.ERROR });
      }
      this.#span.end();
    });
  }
}

/**
 * Runs `work`; returns undefined if it throws. Samplers, propagators and processors are third-party code, whose errors must neither end a
 * call nor break a read or commit that calls share. Errors are sent to OpenTelemetry's diagnostics.
 */
export function guarded<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    diag.error("token-blacklist: a span is lost", error);
    return undefined;
  }
}
