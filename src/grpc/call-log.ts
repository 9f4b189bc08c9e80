import { status } from "@grpc/grpc-js";
import type { Logger } from "pino";
import type { Principal } from "../caller.ts";
import type { ServiceError } from "../errors.ts";
import type { LogSampling } from "../logging/log-sampling.ts";

/** How the calls of a method are logged. */
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

/** Methods, since their parameters are bivariant: a function for the messages of one method of the service is assignable. */
interface Describer {
  summarize(output: object): object;
  /** One object per line, at least one. */
  describe(request: object, result: CallResult<object>): readonly object[];
}

/** The result of a call, as its description in the audit log needs it. */
export interface CallResult<O> {
  /** Undefined if the call failed. */
  readonly output: O | undefined;
  /** The call failed, but may have changed something. */
  readonly outcomeUnknown: boolean;
}

interface EndedCall extends CallResult<object> {
  readonly code: status;
  /** The error that ended the call; undefined if there is none, as after a cancellation by the client. */
  readonly failure: ServiceError | undefined;
  readonly milliseconds: number;
  /** The name of `principal` is empty if the caller is unknown. `peer` is read only for a line that is written, since it is costly. */
  readonly from: { readonly principal: Principal; readonly peer: string };
  /** Undefined if the request has not arrived, or is malformed. */
  readonly request: object | undefined;
}

interface Logs extends MethodLogging {
  readonly log: Logger | undefined;
  readonly auditLog: Logger | undefined;
  readonly sampling: LogSampling;
}

/** Writes one line about a call that has ended. */
export function logCall({ name, isQuiet, log, sampling, summarize }: Logs, call: EndedCall): void {
  const { code, failure, from, milliseconds, output } = call;
  const caller = from.principal.name;
  const level = levelOf(code, isQuiet);
  writeLine({ name, sampling }, call, {
    kind: "call",
    details: () => ({
      ...(failure === undefined ? {} : { detail: failure.message }),
      ...(failure?.cause === undefined ? {} : { err: failure.cause }),
      duration_ms: Math.round(milliseconds * 1000) / 1000,
      ...(summarize === undefined || output === undefined ? {} : summarize(output)),
      ...(caller === "" ? {} : { caller }),
      peer: from.peer,
    }),
    write: (fields) => log?.[level](fields, "call"),
  });
}

/** Whether a call that ended with `code` has a line, unless it is suppressed by sampling. */
export function isLogged({ log, isQuiet }: Pick<Logs, "log" | "isQuiet">, code: status): boolean {
  return log?.isLevelEnabled(levelOf(code, isQuiet)) ?? false;
}

/** Writes the audit lines of a call of an audited method. */
export function auditCall({ name, auditLog, describe, sampling }: Logs, call: EndedCall): void {
  const { from, request } = call;
  const parts = (request === undefined ? undefined : describe?.(request, call)) ?? [{}];
  for (const [index, part] of parts.entries()) {
    writeLine({ name, sampling }, call, {
      kind: "audit",
      details: () => ({
        caller: from.principal.name,
        peer: from.peer,
        ...(parts.length === 1 ? {} : { part: index + 1, parts: parts.length }),
        ...part,
      }),
      write: (fields) => auditLog?.info(fields, "audit"),
    });
  }
}

/** Whether a failed call, whose handler had begun and which ended with `code`, may have changed something. */
export function leavesOutcomeUnknown(code: status): boolean {
  return OUTCOME_UNKNOWN.has(code);
}

const OUTCOME_UNKNOWN = new Set([
  status.UNAVAILABLE,
  status.DEADLINE_EXCEEDED,
  status.CANCELLED,
  status.INTERNAL,
]);

interface Line {
  readonly kind: "call" | "audit";
  readonly details: () => object;
  readonly write: (fields: object) => void;
}

/** Writes a line about a call. Lines about calls that have changed nothing are sampled, since a caller needs no credential to fail. */
function writeLine(
  { name, sampling }: Pick<Logs, "name" | "sampling">,
  { code, failure, from, outcomeUnknown }: EndedCall,
  { kind, details, write }: Line,
): void {
  const { reason } = failure ?? {};
  const fields = { method: name, code: status[code], ...(reason === undefined ? {} : { reason }) };
  if (code === status.OK || outcomeUnknown) {
    write({ ...fields, ...details() });
    return;
  }
  // Calls of unknown callers are sampled separately, so that they do not use up the samples of known callers.
  const known = from.principal.name === "" ? "" : " known";
  sampling.write(`${kind} ${name} ${status[code]} ${reason ?? ""}${known}`, { fields, details, write });
}

function levelOf(code: status, isQuiet: boolean): "debug" | "info" | "warn" | "error" {
  if (code === status.OK) return isQuiet ? "debug" : "info";
  if (code === status.INTERNAL) return "error";
  return code === status.UNAVAILABLE || code === status.RESOURCE_EXHAUSTED ? "warn" : "info";
}
