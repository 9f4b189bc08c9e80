import { status } from "@grpc/grpc-js";
import type { Logger } from "pino";
import type { ServiceError } from "../errors.ts";
import type { LogSampling } from "../logging/log-sampling.ts";

interface EndedCall {
  readonly method: string;
  readonly code: status;
  readonly failure: ServiceError | undefined;
  readonly milliseconds: number;
  /** The caller's name; empty if unknown. */
  readonly caller: string;
  peer(): string;
  /** Further fields for a call that succeeded. Called only if a line is written. */
  about?(): object;
}

/**
 * Writes one line about a call that has ended. With `quiet`, successful calls are logged at level debug. Failed calls are sampled unless
 * `sampling` is absent, since a caller needs no credential to fail.
 */
export function logCall(
  log: Logger,
  { method, code, failure, milliseconds, caller, peer, about }: EndedCall,
  { quiet, sampling }: { quiet: boolean; sampling: LogSampling | undefined },
): void {
  if (isUnlogged(log, code, quiet)) return;
  const level = levelOf(code, quiet);
  const kind = { method, code: status[code], ...(failure === undefined ? {} : { reason: failure.reason }) };
  const sampled =
    code === status.OK || sampling === undefined
      ? {}
      : sampling.admit(kindOf("call", kind, caller), (left) => log[level]({ ...kind, ...left }, "call"));
  if (sampled === undefined) return;
  log[level](
    {
      ...kind,
      ...(failure === undefined ? {} : { detail: failure.message }),
      ...(failure?.cause === undefined ? {} : { err: failure.cause }),
      duration_ms: Math.round(milliseconds * 1000) / 1000,
      ...(about === undefined ? {} : about()),
      ...(caller === "" ? {} : { caller }),
      peer: peer(),
      ...sampled,
    },
    "call",
  );
}

/** Whether the log's level excludes the line for a call that ended with `code`. */
export function isUnlogged(log: Logger, code: status, quiet: boolean): boolean {
  return !log.isLevelEnabled(levelOf(code, quiet));
}

/**
 * The key by which lines about calls are sampled. Calls of unknown callers have keys of their own, so that they do not use up the samples
 * of known callers.
 */
export function kindOf(
  line: "call" | "audit",
  { method, code, reason = "" }: { method: string; code: string; reason?: string },
  caller: string,
): string {
  return `${line} ${method} ${code} ${reason}${caller === "" ? "" : " known"}`;
}

function levelOf(code: status, quiet: boolean): "debug" | "info" | "warn" | "error" {
  if (code === status.OK) return quiet ? "debug" : "info";
  if (code === status.INTERNAL) return "error";
  return code === status.UNAVAILABLE || code === status.RESOURCE_EXHAUSTED ? "warn" : "info";
}
