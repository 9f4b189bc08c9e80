import { Metadata } from "@grpc/grpc-js";
import { MAX_QUESTION_METADATA, MAX_QUESTION_METADATA_BYTES } from "../limits.ts";
import { ignoringErrors } from "./client-error.ts";

/**
 * Returns metadata for a call, such as `traceparent`. Called when `blacklist`, `list` or `prune` makes a call, and for checks when
 * the first check of a shared call is made. Errors that it throws are ignored, and so are values that gRPC would refuse to send.
 */
export type MetadataProvider = () => CallMetadata;

/** Values by name. `authorization` and names that begin with `grpc-` are ignored. */
export type CallMetadata = Readonly<Record<string, string>>;

/** Wraps `provider` so that errors it throws cannot fail a call. An absent provider stays absent, and costs nothing. */
export function guardedMetadata(provider: MetadataProvider | undefined): MetadataProvider | undefined {
  return provider && (() => ignoringErrors(provider) ?? {});
}

/** Adds `given` to `metadata`, without names that are reserved and values that gRPC would refuse. */
export function addMetadata(metadata: Metadata, given: CallMetadata): void {
  for (const [name, value] of Object.entries(given)) {
    if (!/^(authorization$|grpc-)/i.test(name)) ignoringErrors(() => metadata.set(name, value));
  }
}

/** `given` as the metadata of a question on a `StreamChecks` stream. Values that exceed the contract's bounds are omitted too. */
export function questionMetadata(given: CallMetadata): CallMetadata {
  const metadata = new Metadata();
  addMetadata(metadata, given);
  const values: Record<string, string> = {};
  let count = 0;
  let bytes = 0;
  for (const [name, value] of Object.entries(metadata.getMap())) {
    // Characters are bytes: gRPC refuses values that are not ASCII.
    const size = name.length + value.length;
    if (typeof value !== "string" || bytes + size > MAX_QUESTION_METADATA_BYTES) continue;
    values[name] = value;
    bytes += size;
    if (++count === MAX_QUESTION_METADATA) break;
  }
  return values;
}
