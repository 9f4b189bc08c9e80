import { Admission } from "../../src/admission/admission.ts";
import { CallerValidity } from "../../src/auth/caller-validity.ts";
import { UNRESTRICTED_PRINCIPAL } from "../../src/caller.ts";
import type { CallEnvironment } from "../../src/grpc/authenticated-service.ts";
import { LogSampling } from "../../src/logging/log-sampling.ts";
import { Metrics } from "../../src/metrics/metrics.ts";
import { memoryLog } from "./memory-log.ts";

/** An environment of calls in which every caller may do everything and nothing is audited or traced, with `own` in place of its parts. */
export function callEnvironment(
  own: Pick<CallEnvironment, "clock"> & Partial<CallEnvironment>,
): CallEnvironment {
  const { clock } = own;
  return {
    log: memoryLog().log,
    auditLog: undefined,
    logSampling: new LogSampling(clock),
    authenticate: () => UNRESTRICTED_PRINCIPAL,
    callerValidity: new CallerValidity(() => clock.now()),
    checkOwnToken: async () => {},
    admission: new Admission(),
    connections: { authenticated() {} },
    metrics: new Metrics({ version: "1", node: "v1", schema: 1 }),
    tracing: undefined,
    ...own,
  };
}
