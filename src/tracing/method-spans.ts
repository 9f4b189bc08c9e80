import type { TextMapGetter } from "@opentelemetry/api";
import type { Reason } from "../errors.ts";
import { beginCall, type CallSpans, peerAttributes, type Tracing } from "./call-spans.ts";

/** gRPC metadata as far as it is read here. A value is a string, or bytes under a name that ends with `-bin`. */
interface GrpcMetadata {
  get(key: string): readonly unknown[];
  getMap(): object;
}

const METADATA_GETTER: TextMapGetter<GrpcMetadata> = {
  get: (metadata, key) => metadata.get(key).filter((value) => typeof value === "string"),
  keys: (metadata) => Object.keys(metadata.getMap()),
};

/** Codes that indicate an error of the service; the others concern only the call (OpenTelemetry's conventions for gRPC servers). */
const SERVER_ERRORS: ReadonlySet<string> = new Set([
  "UNKNOWN",
  "DEADLINE_EXCEEDED",
  "UNIMPLEMENTED",
  "INTERNAL",
  "UNAVAILABLE",
  "DATA_LOSS",
]);

/** Creates the spans of one method's calls. They hold nothing of the request, and of the caller only the address. */
export class MethodSpans {
  readonly #tracing: Tracing;
  readonly #name: string;

  /** `path` is `/package.Service/Method`. */
  constructor(path: string, tracing: Tracing) {
    this.#tracing = tracing;
    this.#name = path.slice(1);
  }

  /** Starts the span of a call with this metadata; undefined if its trace is not recorded. */
  begin(metadata: GrpcMetadata): CallSpans | undefined {
    return beginCall(this.#tracing, {
      name: this.#name,
      attributes: { "rpc.system.name": "grpc", "rpc.method": this.#name },
      carrier: metadata,
      getter: METADATA_GETTER,
    });
  }
}

interface CallEnd {
  /** The name of the gRPC code. */
  readonly code: string;
  /** The reason in the error that the caller receives; undefined if the call succeeded, or the error has none. */
  readonly reason: Reason | undefined;
  /** The peer's address, as `host:port`. */
  readonly peer: string;
}

/** Ends the spans of a call. */
export function endCall(spans: CallSpans, { code, reason, peer }: CallEnd): void {
  const attributes = {
    "rpc.response.status_code": code,
    ...peerAttributes(peer),
    ...(reason === undefined ? {} : { "tokenblacklist.reason": reason }),
  };
  spans.end(attributes, SERVER_ERRORS.has(code) ? code : undefined);
}
