import { type ClientDuplexStream, type StatusObject, status } from "@grpc/grpc-js";
import type { StatusName } from "../../src/client/client-error.ts";
import { detailsOf } from "./status-details.ts";

/** How a stream ended: the code, and what its details say. */
export interface StreamEnd {
  readonly code: StatusName;
  readonly reason: string | undefined;
  /** The fields that are wrong. */
  readonly violations: readonly string[];
}

/** Calls back once, when the stream has its status; that it is no success is nobody's error. */
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

/** What {@link onEnd} says of a stream that ended so. */
export function ends(code: StatusName, reason?: string, ...violations: string[]): StreamEnd {
  return { code, reason, violations };
}
