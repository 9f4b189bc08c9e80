import { context, propagation, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import {
  InMemorySpanExporter,
  NodeTracerProvider,
  type ReadableSpan,
  type Sampler,
  SimpleSpanProcessor,
  type SpanProcessor,
} from "@opentelemetry/sdk-trace-node";

/** A span, described for comparison. */
export interface ShownSpan {
  readonly name: string;
  readonly id: string;
  readonly trace: string;
  /** The id of its parent; absent for a root span. */
  readonly parent: string | undefined;
  readonly kind: string;
  readonly status: string;
  readonly attributes: Readonly<Record<string, unknown>>;
  /** The ids of the linked spans. */
  readonly links: readonly string[];
  /** In milliseconds since 1970. */
  readonly start: number;
  readonly end: number;
}

export interface RecordedSpans {
  /** The spans that have ended since the last call, in order. */
  take(): ShownSpan[];
  /** Unregisters the provider. */
  stop(): Promise<void>;
}

interface RecordingOptions {
  readonly sampler?: Sampler;
  /** A further span processor. */
  readonly processor?: SpanProcessor;
}

/** Registers a tracer provider for the process, as an operator's preloaded module does, and records spans in memory. */
export function recordSpans({ sampler, processor }: RecordingOptions = {}): RecordedSpans {
  const exporter = new InMemorySpanExporter();
  const provider = new NodeTracerProvider({
    spanProcessors: [new SimpleSpanProcessor(exporter), ...(processor ? [processor] : [])],
    ...(sampler && { sampler }),
  });
  provider.register();
  return {
    take() {
      const spans = exporter.getFinishedSpans().map(shown);
      exporter.reset();
      return spans;
    },
    async stop() {
      for (const api of [trace, propagation, context]) api.disable();
      await provider.shutdown();
    },
  };
}

function shown(span: ReadableSpan): ShownSpan {
  const { traceId, spanId } = span.spanContext();
  return {
    name: span.name,
    id: spanId,
    trace: traceId,
    parent: span.parentSpanContext?.spanId,
    kind: SpanKind[span.kind] as string,
    status: SpanStatusCode[span.status.code] as string,
    attributes: span.attributes,
    links: span.links.map((link) => link.context.spanId),
    start: inMs(span.startTime),
    end: inMs(span.endTime),
  };
}

function inMs([seconds, nanoseconds]: readonly [number, number]): number {
  return seconds * 1000 + nanoseconds / 1e6;
}
