import { type ClientDuplexStream, type StatusObject, status } from "@grpc/grpc-js";
import type { StatusName } from "../../src/client/client-error.ts";
import { detailsOf } from "./status-details.ts";

/** How a stream ended: the code and its details. */
export interface StreamEnd {
  readonly code: StatusName;
  readonly reason: string | undefined;
  /** The fields with violations. */
  readonly violations: readonly string[];
}

/** Calls back once, when the stream has its status; a failure is not an unhandled error. */
export function onEnd(stream: ClientDuplexStream<Buffer, Buffer>, callback: (end: StreamEnd) => void): void {
  stream.on("error", () => {});
  stream.on("status", ({ code, metadata }: StatusObject) => {
    const details = detailsOf({ metadata });
    callback({
      code: status[code] as StatusName,
      reason: details?.reason,
      violations: (details?.violations ?? []).map(([field]) => field),
    });
  });
}

/** The expected result of {@link onEnd} for a stream that ended so. */
export function ends(code: StatusName, reason?: string, ...violations: string[]): StreamEnd {
  return { code, reason, violations };
}
