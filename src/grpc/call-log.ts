import { status } from "@grpc/grpc-js";
import type { Logger } from "pino";
import type { Principal } from "../caller.ts";
import type { ServiceError } from "../errors.ts";
import type { LogSampling } from "../logging/log-sampling.ts";

/** How the calls of a method are logged. */
export interface MethodLogging {
  /** The method's name. */
  readonly name: string;
  /** Whether successful calls are logged at level debug instead of info. */
  readonly logsSuccessAtDebug: boolean;
  /** Further fields of the log line of a successful call; undefined: none. */
  readonly summarizeForLog: Describer["summarizeForLog"] | undefined;
  /** The content of the audit log; undefined: the method changes nothing, and is not audited. */
  readonly describeForAudit: Describer["describeForAudit"] | undefined;
}

/** Declared as methods, whose parameters are bivariant, so that functions for the messages of one RPC are assignable. */
interface Describer {
  summarizeForLog(output: object): object;
  /** Returns an object for each line of the audit log, at least one. */
  describeForAudit(request: object, result: CallResult<object>): readonly object[];
}

/** The result of a call, as far as the audit log needs it. */
export interface CallResult<O> {
  /** Undefined if the call failed. */
  readonly output: O | undefined;
  /** Whether the call failed, but may have changed something. */
  readonly outcomeUnknown: boolean;
}

interface EndedCall extends CallResult<object> {
  readonly code: status;
  /** The error that ended the call; undefined without an error, as after success or a cancellation by the client. */
  readonly failure: ServiceError | undefined;
  readonly milliseconds: number;
  /** The name of `principal` is empty if the caller is unknown. `peer` is slow to read, and is read only for lines that are written. */
  readonly from: { readonly principal: Principal; readonly peer: string };
  /** Undefined if the request has not arrived, or is malformed. */
  readonly request: object | undefined;
}

interface Logs extends MethodLogging {
  readonly log: Logger | undefined;
  readonly auditLog: Logger | undefined;
  readonly logSampling: LogSampling;
}

/** Writes one line about a call that has ended. */
export function logCall(
  { name, logsSuccessAtDebug, log, logSampling, summarizeForLog }: Logs,
  call: EndedCall,
): void {
  const { code, failure, from, milliseconds, output } = call;
  const caller = from.principal.name;
  const level = levelOf(code, logsSuccessAtDebug);
  writeLine({ name, logSampling }, call, {
    kind: "call",
    details: () => ({
      ...(failure === undefined ? {} : { detail: failure.message }),
      ...(failure?.cause === undefined ? {} : { err: failure.cause }),
      duration_ms: Math.round(milliseconds * 1000) / 1000,
      ...(summarizeForLog === undefined || output === undefined ? {} : summarizeForLog(output)),
      ...(caller === "" ? {} : { caller }),
      peer: from.peer,
    }),
    write: (fields) => log?.[level](fields, "call"),
  });
}

/** Whether a call that ended with `code` is logged, unless sampling suppresses its line. */
export function isLogged(
  { log, logsSuccessAtDebug }: Pick<Logs, "log" | "logsSuccessAtDebug">,
  code: status,
): boolean {
  return log?.isLevelEnabled(levelOf(code, logsSuccessAtDebug)) ?? false;
}

/** Writes the audit log's lines about a call that has ended. */
export function auditCall({ name, auditLog, describeForAudit, logSampling }: Logs, call: EndedCall): void {
  const { from, request } = call;
  const parts = (request === undefined ? undefined : describeForAudit?.(request, call)) ?? [{}];
  for (const [index, part] of parts.entries()) {
    writeLine({ name, logSampling }, call, {
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

/** Whether a call that failed with `code` after its handler had begun may have changed something. */
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

/** Writes a line about a call. Lines about failed calls that have changed nothing are sampled, since anybody can cause failures. */
function writeLine(
  { name, logSampling }: Pick<Logs, "name" | "logSampling">,
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
  logSampling.write(`${kind} ${name} ${status[code]} ${reason ?? ""}${known}`, { fields, details, write });
}

function levelOf(code: status, logsSuccessAtDebug: boolean): "debug" | "info" | "warn" | "error" {
  if (code === status.OK) return logsSuccessAtDebug ? "debug" : "info";
  if (code === status.INTERNAL) return "error";
  return code === status.UNAVAILABLE || code === status.RESOURCE_EXHAUSTED ? "warn" : "info";
}
