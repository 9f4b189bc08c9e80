import { status } from "@grpc/grpc-js";
import type { Logger } from "pino";
import type { ServiceError } from "../errors.ts";
import type { LogSampling } from "../log-sampling.ts";

interface EndedCall {
  readonly method: string;
  readonly code: status;
  readonly failure: ServiceError | undefined;
  readonly milliseconds: number;
  /** Who called; empty where that is not known. */
  readonly caller: string;
  peer(): string;
  /** What else the line says of a call that went well; called only where a line is written. */
  about?(): object;
}

/**
 * One line about a call that has ended. With `quiet`, those that went well are logged at the level debug. Those that failed are sampled, unless
 * `sampling` is absent: a caller needs no credential to fail.
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

/** Whether a call that ended with `code` has no line at the log's level. */
export function isUnlogged(log: Logger, code: status, quiet: boolean): boolean {
  return !log.isLevelEnabled(levelOf(code, quiet));
}

/** By what lines about calls are sampled: those without a known caller leave room for the others. */
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
