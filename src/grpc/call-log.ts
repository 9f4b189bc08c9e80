import { status } from "@grpc/grpc-js";
import type { Logger } from "pino";
import type { Principal } from "../caller.ts";
import type { ServiceError } from "../errors.ts";
import type { LogSampling } from "../logging/log-sampling.ts";

/** What the logs have about the calls of a method. */
export interface MethodLogging {
  /** The method's name. */
  readonly name: string;
  /** Successful calls are logged at level debug. */
  readonly isQuiet: boolean;
  /** Further fields of the log line of a successful call; undefined: none. */
  readonly summarize: Describer["summarize"] | undefined;
  /** The content of the audit log; undefined: the method changes nothing, and is not audited. */
  readonly describe: Describer["describe"] | undefined;
}

/** Declared as methods, whose parameters are bivariant, so that a function for the messages of one call is assignable. */
interface Describer {
  summarize(output: object): object;
  /** One object per line, at least one. */
  describe(request: object, outcome: CallResult<object>): readonly object[];
}

/** The outcome of a call, as its description in the audit log needs it. */
export interface CallResult<O> {
  /** Absent if the call failed. */
  readonly output: O | undefined;
  /** The call failed, but may have changed something. */
  readonly outcomeUnknown: boolean;
}

interface EndedCall extends CallResult<object> {
  readonly code: status;
  readonly failure: ServiceError | undefined;
  readonly milliseconds: number;
  /** Evaluated only if a line is written. The caller's name is empty if it is unknown. */
  readonly from: { readonly principal: Principal; readonly peer: string };
  /** Absent if it has not arrived, or is malformed. */
  readonly request: object | undefined;
}

interface Logs extends MethodLogging {
  readonly log: Logger | undefined;
  readonly auditLog: Logger | undefined;
  readonly sampling: LogSampling;
}

/**
 * Writes one line about a call that has ended. Failed calls that have changed nothing are sampled, since a caller needs no credential to
 * fail.
 */
export function logCall({ name, isQuiet, log, sampling, summarize }: Logs, call: EndedCall): void {
  const { code, failure, from, milliseconds, output } = call;
  const caller = from.principal.name;
  const level = levelOf(code, isQuiet);
  const kind = kindOf(name, call);
  const sampled =
    code === status.OK || call.outcomeUnknown
      ? {}
      : sampling.admit(keyOf("call", kind, caller), (left) => log?.[level]({ ...kind, ...left }, "call"));
  if (sampled === undefined) return;
  log?.[level](
    {
      ...kind,
      ...(failure === undefined ? {} : { detail: failure.message }),
      ...(failure?.cause === undefined ? {} : { err: failure.cause }),
      duration_ms: Math.round(milliseconds * 1000) / 1000,
      ...(summarize === undefined || output === undefined ? {} : summarize(output)),
      ...(caller === "" ? {} : { caller }),
      peer: from.peer,
      ...sampled,
    },
    "call",
  );
}

/** Whether a line is written about a call that ended with `code`. */
export function isLogged({ log, isQuiet }: Pick<Logs, "log" | "isQuiet">, code: status): boolean {
  return log?.isLevelEnabled(levelOf(code, isQuiet)) ?? false;
}

/** Writes the audit lines of a call: of each call that has changed something or may have. Lines about refused calls are sampled. */
export function auditCall({ name, auditLog, describe, sampling }: Logs, call: EndedCall): void {
  const { code, from, request } = call;
  const caller = from.principal.name;
  const kind = kindOf(name, call);
  const sampled =
    code === status.OK || call.outcomeUnknown
      ? {}
      : sampling.admit(keyOf("audit", kind, caller), (left) => auditLog?.info({ ...kind, ...left }, "audit"));
  if (sampled === undefined) return;
  const parts = (request === undefined ? undefined : describe?.(request, call)) ?? [{}];
  for (const [index, part] of parts.entries()) {
    auditLog?.info(
      {
        ...kind,
        caller,
        peer: from.peer,
        ...(parts.length === 1 ? {} : { part: index + 1, parts: parts.length }),
        ...part,
        ...sampled,
      },
      "audit",
    );
  }
}

/** Whether a call that failed with `code`, after its handler had begun, may have changed something. */
export function leavesOutcomeUnknown(code: status): boolean {
  return OUTCOME_UNKNOWN.has(code);
}

const OUTCOME_UNKNOWN = new Set([
  status.UNAVAILABLE,
  status.DEADLINE_EXCEEDED,
  status.CANCELLED,
  status.INTERNAL,
]);

interface Kind {
  readonly method: string;
  readonly code: string;
  readonly reason?: string;
}

function kindOf(method: string, { code, failure }: EndedCall): Kind {
  return { method, code: status[code], ...(failure === undefined ? {} : { reason: failure.reason }) };
}

/**
 * The key by which lines about calls are sampled. Calls of unknown callers have keys of their own, so that they do not use up the samples
 * of known callers.
 */
function keyOf(line: "call" | "audit", { method, code, reason = "" }: Kind, caller: string): string {
  return `${line} ${method} ${code} ${reason}${caller === "" ? "" : " known"}`;
}

function levelOf(code: status, isQuiet: boolean): "debug" | "info" | "warn" | "error" {
  if (code === status.OK) return isQuiet ? "debug" : "info";
  if (code === status.INTERNAL) return "error";
  return code === status.UNAVAILABLE || code === status.RESOURCE_EXHAUSTED ? "warn" : "info";
}
