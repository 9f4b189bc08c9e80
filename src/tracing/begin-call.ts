import {
  type Attributes,
  propagation,
  ROOT_CONTEXT,
  SpanKind,
  type TextMapGetter,
  trace,
} from "@opentelemetry/api";
import { CallSpans, type Parts } from "./call-spans.ts";
import { harmless } from "./harmless.ts";

/** What the calls of one kind have in common. */
export interface CallKind extends Parts {
  readonly name: string;
  readonly attributes: Attributes;
}

interface Beginning<C> extends CallKind {
  /** What came with the call, and says which trace it belongs to. */
  readonly carrier: C;
  readonly getter: TextMapGetter<C>;
}

/** The spans of a call that has just come; undefined where its trace is not recorded, so that the rest of it costs nothing. */
export function beginCall<C>({
  name,
  attributes,
  carrier,
  getter,
  ...parts
}: Beginning<C>): CallSpans | undefined {
  return harmless(() => {
    const parent = propagation.extract(ROOT_CONTEXT, carrier, getter);
    const span = parts.tracer.startSpan(name, { kind: SpanKind.SERVER, attributes }, parent);
    return span.isRecording()
      ? new CallSpans(span, { ...parts, context: trace.setSpan(parent, span) })
      : undefined;
  });
}

/** The address at the other end, as `host:port`, in OpenTelemetry's words. */
export function peerAttributes(peer: string): Attributes {
  const [, address, port] = /^\[?(.+?)\]?:(\d+)$/.exec(peer) ?? [];
  return address === undefined ? {} : { "network.peer.address": address, "network.peer.port": Number(port) };
}
