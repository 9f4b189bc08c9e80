import {
  type Attributes,
  type Context,
  diag,
  type Span,
  type SpanContext,
  SpanStatusCode,
  type Tracer,
  trace,
} from "@opentelemetry/api";
import type { CallTrace, Wait } from "../caller.ts";
import type { Clock } from "../time/clock.ts";

export interface Parts {
  readonly tracer: Tracer;
  readonly clock: Clock;
}

/** The current wait of a call. */
interface Waiting {
  readonly span: Span;
  readonly context: Context;
  /** The beginning by both clocks, so that a step of the wall clock does not shift spans within the wait. */
  readonly wall: number;
  readonly monotonic: number;
}

/** The spans of one call: the call itself and, below it, one for each wait. */
export class CallSpans implements CallTrace {
  readonly #span: Span;
  readonly #context: Context;
  readonly #parts: Parts;
  #waiting: Waiting | undefined;

  /** `context` must hold `span`. */
  constructor(span: Span, { context, ...parts }: Parts & { context: Context }) {
    this.#span = span;
    this.#context = context;
    this.#parts = parts;
  }

  waits(what: Wait): void {
    this.endWait();
    const { tracer, clock } = this.#parts;
    this.#waiting = guarded(() => {
      const span = tracer.startSpan(`wait for ${what}`, {}, this.#context);
      const context = trace.setSpan(this.#context, span);
      return { span, context, wall: clock.now(), monotonic: clock.monotonic() };
    });
  }

  /** The current wait; undefined while the call does not wait and after it has ended. */
  get waiting(): Waiting | undefined {
    return this.#waiting;
  }

  /** Links the current wait to a shared span in another call's trace. */
  link(span: SpanContext): void {
    this.#waiting?.span.addLink({ context: span });
  }

  /** Ends the current wait. */
  endWait(): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting !== undefined) guarded(() => waiting.span.end());
  }

  /** Ends the call's spans. Its current wait ends too. `error` is a one-word description of a failure; absent if there was none. */
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
