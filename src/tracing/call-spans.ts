import {
  type Attributes,
  type Context,
  type Span,
  type SpanContext,
  SpanStatusCode,
  type Tracer,
  trace,
} from "@opentelemetry/api";
import type { CallTrace, Wait } from "../caller.ts";
import type { Clock } from "../clock.ts";
import { harmless } from "./harmless.ts";

export interface Parts {
  readonly tracer: Tracer;
  readonly clock: Clock;
}

/** What a call waits for at the moment. */
interface Waiting {
  readonly span: Span;
  readonly context: Context;
  /** When it began, by both clocks: what is placed within it must not be set off by a step of the wall clock. */
  readonly wall: number;
  readonly monotonic: number;
}

/** The spans of one call: its own, and below it one for each time it waits. */
export class CallSpans implements CallTrace {
  readonly #span: Span;
  readonly #context: Context;
  readonly #parts: Parts;
  #waiting: Waiting | undefined;

  /** `context` holds `span`. */
  constructor(span: Span, { context, ...parts }: Parts & { context: Context }) {
    this.#span = span;
    this.#context = context;
    this.#parts = parts;
  }

  waits(what: Wait): void {
    this.endWait();
    const { tracer, clock } = this.#parts;
    this.#waiting = harmless(() => {
      const span = tracer.startSpan(`wait for ${what}`, {}, this.#context);
      const context = trace.setSpan(this.#context, span);
      return { span, context, wall: clock.now(), monotonic: clock.monotonic() };
    });
  }

  /** Its present wait; absent while it does not wait, and after the call is over. */
  get waiting(): Waiting | undefined {
    return this.#waiting;
  }

  /** It has shared in what `span` stands for, in another call's trace. */
  link(span: SpanContext): void {
    this.#waiting?.span.addLink({ context: span });
  }

  /** What it has waited for is there. */
  endWait(): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting !== undefined) harmless(() => waiting.span.end());
  }

  /** The call is over; what it still waits for comes too late. `error` is what failed, in a word, where something did. */
  end(attributes: Attributes, error?: string): void {
    this.endWait();
    harmless(() => {
      this.#span.setAttributes(attributes);
      if (error !== undefined) {
        this.#span.setAttribute("error.type", error).setStatus({ code: SpanStatusCode.ERROR });
      }
      this.#span.end();
    });
  }
}
