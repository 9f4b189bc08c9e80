import type { TextMapGetter } from "@opentelemetry/api";
import type { Reason } from "../errors.ts";
import { beginCall, type CallSpans, peerAttributes, type Tracing } from "./call-spans.ts";

/** The part of grpc-js's Metadata that is used here. A value is a string, or bytes under a name that ends with `-bin`. */
interface GrpcMetadata {
  get(key: string): readonly unknown[];
  getMap(): object;
}

const METADATA_GETTER: TextMapGetter<GrpcMetadata> = {
  get: (metadata, key) => metadata.get(key).filter((value) => typeof value === "string"),
  keys: (metadata) => Object.keys(metadata.getMap()),
};

/** Codes that are errors of the service. All other codes are errors of the caller (OpenTelemetry's conventions for gRPC servers). */
const SERVER_ERRORS = /^(?:UNKNOWN|DEADLINE_EXCEEDED|UNIMPLEMENTED|INTERNAL|UNAVAILABLE|DATA_LOSS)$/;

/** Creates the spans of one method's calls. Spans contain nothing of the request, and of the caller only the address. */
export class MethodSpans {
  readonly #tracing: Tracing;
  readonly #name: string;

  /** `path` is `/package.Service/Method`. */
  constructor(path: string, tracing: Tracing) {
    this.#tracing = tracing;
    this.#name = path.slice(1);
  }

  /** Starts the span of a call with this metadata; undefined if the span is not recorded. */
  begin(metadata: GrpcMetadata): CallSpans | undefined {
    return beginCall(this.#tracing, {
      name: this.#name,
      attributes: { "rpc.system.name": "grpc", "rpc.method": this.#name },
      carrier: metadata,
      getter: METADATA_GETTER,
    });
  }
}

/** Ends the spans of a call with the name of its gRPC code, the reason in its error, if any, and the peer as `host:port`. */
export function endCall(
  spans: CallSpans,
  { code, reason, peer }: { code: string; reason: Reason | undefined; peer: string },
): void {
  const attributes = {
    "rpc.response.status_code": code,
    ...peerAttributes(peer),
    ...(reason === undefined ? {} : { "tokenblacklist.reason": reason }),
  };
  spans.end(attributes, SERVER_ERRORS.test(code) ? code : undefined);
}
