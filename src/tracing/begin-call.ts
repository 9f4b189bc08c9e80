import {
  type Attributes,
  propagation,
  ROOT_CONTEXT,
  SpanKind,
  type TextMapGetter,
  trace,
} from "@opentelemetry/api";
import { CallSpans, guarded, type Parts } from "./call-spans.ts";

/** The properties shared by the spans of one method's calls. */
export interface CallKind extends Parts {
  readonly name: string;
  readonly attributes: Attributes;
}

interface Beginning<C> extends CallKind {
  /** The metadata or headers of the call, which hold its trace context. */
  readonly carrier: C;
  readonly getter: TextMapGetter<C>;
}

/** Starts the span of a call; undefined if its trace is not recorded, so that further tracing costs nothing. */
export function beginCall<C>({
  name,
  attributes,
  carrier,
  getter,
  ...parts
}: Beginning<C>): CallSpans | undefined {
  return guarded(() => {
    const parent = propagation.extract(ROOT_CONTEXT, carrier, getter);
    const span = parts.tracer.startSpan(name, { kind: SpanKind.SERVER, attributes }, parent);
    return span.isRecording()
      ? new CallSpans(span, { ...parts, context: trace.setSpan(parent, span) })
      : undefined;
  });
}

/** The peer's address, given as `host:port`, in OpenTelemetry's attributes. */
export function peerAttributes(peer: string): Attributes {
  const [, address, port] = /^\[?(.+?)\]?:(\d+)$/.exec(peer) ?? [];
  return address === undefined ? {} : { "network.peer.address": address, "network.peer.port": Number(port) };
}
