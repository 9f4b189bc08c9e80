import type { TextMapGetter } from "@opentelemetry/api";
import type { Reason } from "../errors.ts";
import { beginCall, type CallKind, peerAttributes } from "./begin-call.ts";
import type { CallSpans, Parts } from "./call-spans.ts";

/** A method of a service. */
export interface GrpcMethod {
  /** `/package.Service/Method`. */
  readonly path: string;
}

/** gRPC metadata. Binary values are not used here. */
interface Carrier {
  get(key: string): readonly unknown[];
  getMap(): object;
}

const METADATA: TextMapGetter<Carrier> = {
  get: (metadata, key) => metadata.get(key).filter((value) => typeof value === "string"),
  keys: (metadata) => Object.keys(metadata.getMap()),
};

/** Codes that indicate an error of the service; the others concern only the call (OpenTelemetry's conventions for gRPC servers). */
const ERRORS: ReadonlySet<string> = new Set([
  "UNKNOWN",
  "DEADLINE_EXCEEDED",
  "UNIMPLEMENTED",
  "INTERNAL",
  "UNAVAILABLE",
  "DATA_LOSS",
]);

/** Creates the spans of one method's calls. They hold nothing of the request, and of the caller only the address. */
export class MethodSpans {
  readonly #kind: CallKind;

  constructor({ path }: GrpcMethod, parts: Parts) {
    const name = path.slice(1);
    this.#kind = { ...parts, name, attributes: { "rpc.system.name": "grpc", "rpc.method": name } };
  }

  /** Starts the span of a call with this metadata; undefined if its trace is not recorded. */
  begin(metadata: Carrier): CallSpans | undefined {
    return beginCall({ ...this.#kind, carrier: metadata, getter: METADATA });
  }
}

interface Ended {
  /** The name of the gRPC code. */
  readonly code: string;
  /** The reason in the error that the caller receives. */
  readonly reason: Reason | undefined;
  /** The peer's address. */
  readonly peer: string;
}

/** Ends the spans of a call. */
export function endCall(spans: CallSpans, { code, reason, peer }: Ended): void {
  const attributes = {
    "rpc.status_code": code,
    ...peerAttributes(peer),
    ...(reason === undefined ? {} : { "tokenblacklist.reason": reason }),
  };
  spans.end(attributes, ERRORS.has(code) ? code : undefined);
}
