import type {
  Server,
  ServerDuplexStream,
  ServerUnaryCall,
  ServerWritableStream,
  ServiceDefinition,
  sendUnaryData,
  UntypedHandleCall,
  UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { status } from "@grpc/grpc-js";
import type { Clock } from "../clock.ts";
import type { ServiceError } from "../errors.ts";
import { MAX_OPEN_REQUEST_BYTES } from "../limits.ts";
import type { CallMetrics, MethodCalls } from "../metrics/call-metrics.ts";
import type { HeadersJudge, IncomingCalls } from "./incoming-call.ts";
import { codeOf } from "./status.ts";

type UnaryHandler = (call: ServerUnaryCall<unknown, unknown>, callback: sendUnaryData<unknown>) => void;
type Stream = ServerWritableStream<unknown, unknown> | ServerDuplexStream<unknown, unknown>;
type StreamHandler = (call: Stream) => void;

/**
 * A server to which services are added that anybody may ask, in calls without our wrapper: they are counted like ours, and their requests have to
 * be small, and to arrive soon.
 */
export function counted(
  server: Pick<Server, "addService">,
  { calls, clock, incoming }: { calls: CallMetrics; clock: Clock; incoming: IncomingCalls },
): Pick<Server, "addService"> {
  return {
    addService(definition: ServiceDefinition, handlers: UntypedServiceImplementation) {
      const wrapped = Object.entries(definition).flatMap(([name, method]) => {
        const handler = (handlers[name] ?? handlers[method.originalName ?? name])?.bind(handlers);
        if (handler === undefined) return [];
        const count = calls.of(method);
        const failed = (error: ServiceError) => begin({ count, clock })(codeOf(error));
        incoming.add(method.path, {
          maxBytes: MAX_OPEN_REQUEST_BYTES,
          // A handler of many messages is called at once, and hears by itself that its call has ended.
          ...(method.requestStream
            ? { open: () => ANYBODY, refused: failed }
            : { open: () => ({ ...ANYBODY, failed }) }),
        });
        const handle = method.responseStream
          ? countedStream(handler as StreamHandler, { count, clock })
          : countedUnary(handler as UnaryHandler, { count, clock });
        return [[name, handle as UntypedHandleCall]];
      });
      server.addService(definition, Object.fromEntries(wrapped));
    },
  };
}

/** Whom nobody judges. */
const ANYBODY: HeadersJudge = { judge: () => true, received() {}, failed() {}, ended() {} };

interface Counting {
  readonly count: MethodCalls;
  readonly clock: Clock;
}

function countedUnary(handler: UnaryHandler, counting: Counting): UnaryHandler {
  return (call, callback) => {
    const end = begin(counting);
    call.once("cancelled", () => end(status.CANCELLED));
    handler(call, (error, ...answer) => {
      end(error === null ? status.OK : statusCodeOf(error));
      callback(error, ...answer);
    });
  };
}

function countedStream(handler: StreamHandler, counting: Counting): StreamHandler {
  return (call) => {
    const end = begin(counting);
    call.once("finish", () => end(status.OK));
    call.once("error", (error) => end(statusCodeOf(error)));
    call.once("cancelled", () => end(status.CANCELLED));
    handler(call);
  };
}

/** A call has begun. The returned function ends it; who comes later is not heard. */
function begin({ count, clock }: Counting): (code: status) => void {
  const began = clock.monotonic();
  let ended = false;
  count.begin();
  return (code) => {
    if (ended) return;
    ended = true;
    count.end(code, (clock.monotonic() - began) / 1000);
  };
}

function statusCodeOf(error: unknown): status {
  return (error as { code?: status }).code ?? status.UNKNOWN;
}
