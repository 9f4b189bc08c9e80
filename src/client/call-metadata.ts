import type { Metadata } from "@grpc/grpc-js";

/**
 * Gives what joins a call's metadata, such as `traceparent`: asked when `blacklist`, `list` or `prune` makes a call, and for checks
 * when the first of those asks that will share a call. What it throws is dropped, and so is what gRPC would refuse to send.
 */
export type GiveMetadata = () => CallMetadata;

/** Values by their names. `authorization` is not taken from here, and names that begin with `grpc-` are gRPC's own. */
export type CallMetadata = Readonly<Record<string, string>>;

/** `give`, which cannot break a call by throwing. Absent it stays absent, and costs nothing. */
export function guardedMetadata(give: GiveMetadata | undefined): GiveMetadata | undefined {
  return give && (() => attempt(give) ?? {});
}

export function join(metadata: Metadata, given: CallMetadata): void {
  for (const [name, value] of Object.entries(given)) {
    if (!/^(authorization$|grpc-)/i.test(name)) attempt(() => metadata.set(name, value));
  }
}

function attempt<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch {
    // What says where a call came from must not decide about a token.
    return undefined;
  }
}
