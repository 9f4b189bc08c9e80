import { type StreamChecksRequest, TokenBlacklist } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { MAX_CHECK_STREAMS } from "../limits.ts";
import { methodDefinition } from "../protobuf/service-definition.ts";
import { CheckCall } from "./check-call.ts";
import type { StreamEnvironment } from "./stream-call.ts";
import { StreamRegistry } from "./stream-registry.ts";
import type { CallEnvironment, Handlers } from "./unary.ts";

interface Options extends CallEnvironment, Pick<StreamEnvironment, "cut"> {
  /** Maximum of open streams. */
  readonly most?: number;
  /** Maximum for one known caller. */
  readonly perCaller: number;
}

/** The streams of `StreamChecks`. `handler` answers their questions. */
export function openCheckStreams(
  handler: Handlers<typeof TokenBlacklist>["isBlacklisted"],
  { most = MAX_CHECK_STREAMS, perCaller, ...environment }: Options,
): StreamRegistry<StreamChecksRequest, CheckCall> {
  const { metrics, tracing } = environment;
  const { streamChecks, isBlacklisted } = TokenBlacklist.method;
  const definition = methodDefinition(streamChecks);
  const common = {
    ...environment,
    handler,
    method: streamChecks.name,
    count: metrics.calls.of(definition),
    // Counted as calls of IsBlacklisted, so that the metrics of that method cover all questions.
    questions: metrics.calls.of({ ...definition, path: methodDefinition(isBlacklisted).path }),
    spans: tracing?.method(definition),
  };
  return new StreamRegistry({
    most,
    perCaller,
    open: (call, events) => new CheckCall(call, { ...common, ...events }),
  });
}
