import type { TextMapGetter } from "@opentelemetry/api";
import type { Reason } from "../errors.ts";
import { beginCall, type CallKind, peerAttributes } from "./begin-call.ts";
import type { CallSpans, Parts } from "./call-spans.ts";

/** A method of a service, as its definition has it. */
export interface GrpcMethod {
  /** `/package.Service/Method`. */
  readonly path: string;
}

/** gRPC's metadata: values that are bytes are of no concern here. */
interface Carrier {
  get(key: string): readonly unknown[];
  getMap(): object;
}

const METADATA: TextMapGetter<Carrier> = {
  get: (metadata, key) => metadata.get(key).filter((value) => typeof value === "string"),
  keys: (metadata) => Object.keys(metadata.getMap()),
};

/** Codes that say something is wrong with the service; the others say it of the call (OpenTelemetry's conventions for gRPC servers). */
const ERRORS: ReadonlySet<string> = new Set([
  "UNKNOWN",
  "DEADLINE_EXCEEDED",
  "UNIMPLEMENTED",
  "INTERNAL",
  "UNAVAILABLE",
  "DATA_LOSS",
]);

/** Makes the spans of one method's calls. Nothing of what a call asks is in them, and nothing of who calls but the address. */
export class MethodSpans {
  readonly #kind: CallKind;

  constructor({ path }: GrpcMethod, parts: Parts) {
    const name = path.slice(1);
    this.#kind = { ...parts, name, attributes: { "rpc.system.name": "grpc", "rpc.method": name } };
  }

  /** A call has come, with this metadata; undefined where its trace is not recorded. */
  begin(metadata: Carrier): CallSpans | undefined {
    return beginCall({ ...this.#kind, carrier: metadata, getter: METADATA });
  }
}

interface Ended {
  /** gRPC's name of the code. */
  readonly code: string;
  /** Why it failed, in the word that the caller is told. */
  readonly reason: Reason | undefined;
  /** The address at the other end. */
  readonly peer: string;
}

/** A call that has begun with `spans` is over. */
export function endCall(spans: CallSpans, { code, reason, peer }: Ended): void {
  const attributes = {
    "rpc.status_code": code,
    ...peerAttributes(peer),
    ...(reason === undefined ? {} : { "tokenblacklist.reason": reason }),
  };
  spans.end(attributes, ERRORS.has(code) ? code : undefined);
}
