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
import { admissionError } from "../admission/admission.ts";
import { FairCapacity, type Share } from "../admission/fair-capacity.ts";
import type { ServiceError } from "../errors.ts";
import { MAX_OPEN_CALLS, MAX_OPEN_REQUEST_BYTES } from "../limits.ts";
import type { CallMetrics, MethodCalls } from "../metrics/call-metrics.ts";
import type { Clock } from "../time/clock.ts";
import type { CallHeaders, HeadersJudge, IncomingCalls } from "./incoming-call.ts";
import { codeOf, statusOf } from "./status.ts";

type UnaryHandler = (call: ServerUnaryCall<unknown, unknown>, callback: sendUnaryData<unknown>) => void;
type Stream = ServerWritableStream<unknown, unknown> | ServerDuplexStream<unknown, unknown>;
type StreamHandler = (call: Stream) => void;

/**
 * A server for services that require no authentication and whose calls bypass our own handlers. Their calls are counted like ours, and
 * their requests must be small and arrive soon. On connections of known callers the number of calls is bounded here; on unauthenticated
 * connections it is bounded with the connection.
 */
export function withCallMetrics(
  server: Pick<Server, "addService">,
  { calls, callerOf, clock, incoming }: Setup,
): Pick<Server, "addService"> {
  const room = new FairCapacity(MAX_OPEN_CALLS);
  return {
    addService(definition: ServiceDefinition, handlers: UntypedServiceImplementation) {
      const wrapped = Object.entries(definition).flatMap(([name, method]) => {
        const handler = (handlers[name] ?? handlers[method.originalName ?? name])?.bind(handlers);
        if (handler === undefined) return [];
        const count = calls.of(method);
        const failed = (error: ServiceError) => begin({ count, clock })(codeOf(error));
        const common = { callerOf, refused: failed, room };
        incoming.add(method.path, {
          maxBytes: MAX_OPEN_REQUEST_BYTES,
          isForAnybody: true,
          // A streaming handler is called at once, and observes the end of its call itself.
          ...(method.requestStream
            ? { open: (headers) => new OpenCall(headers, { ...common, failed() {} }), refused: failed }
            : { open: (headers) => new OpenCall(headers, { ...common, failed }) }),
        });
        const handle = method.responseStream
          ? countedStream(inTurn(handler as StreamHandler, method.requestStream), { count, clock })
          : countedUnary(handler as UnaryHandler, { count, clock });
        return [[name, handle as UntypedHandleCall]];
      });
      server.addService(definition, Object.fromEntries(wrapped));
    },
  };
}

interface Setup {
  readonly calls: CallMetrics;
  /** The caller known on the connection of `peer`: a name, empty if callers are not identified; undefined if unauthenticated. */
  readonly callerOf: (peer: string) => string | undefined;
  readonly clock: Clock;
  readonly incoming: IncomingCalls;
}

interface OpenCallSetup extends Pick<Setup, "callerOf"> {
  /** The call was refused for lack of room, before any of it was passed on. */
  readonly refused: (error: ServiceError) => void;
  /** The call was refused for what followed its headers. */
  readonly failed: (error: ServiceError) => void;
  readonly room: FairCapacity;
}

/** A call that requires no authentication. */
class OpenCall implements HeadersJudge {
  readonly caller: string;
  readonly failed: (error: ServiceError) => void;
  readonly #headers: CallHeaders;
  readonly #setup: OpenCallSetup;
  readonly #isStranger: boolean;
  #part: Share | undefined;

  constructor(headers: CallHeaders, setup: OpenCallSetup) {
    const caller = setup.callerOf(headers.call.getPeer());
    this.caller = caller ?? "";
    this.#isStranger = caller === undefined;
    this.failed = setup.failed;
    this.#headers = headers;
    this.#setup = setup;
  }

  judge(): boolean {
    if (this.#isStranger) return true;
    this.#part = this.#setup.room.take(this.caller);
    if (this.#part !== undefined) return true;
    const error = admissionError("OVERLOADED");
    this.#setup.refused(error);
    this.#headers.refuse(statusOf(error));
    return false;
  }

  received(): void {}

  ended(): void {
    if (this.#part !== undefined) this.#setup.room.giveBack(this.#part, this.caller);
    this.#part = undefined;
  }
}

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

/**
 * On a bidirectional stream, read the next request only after the last response has been sent. Nothing else would apply backpressure to a
 * peer that reads no responses.
 */
function inTurn(handler: StreamHandler, asks: boolean): StreamHandler {
  if (!asks) return handler;
  return (call) => {
    const stream = call as ServerDuplexStream<unknown, unknown>;
    const write = stream.write.bind(stream);
    stream.write = (answer: unknown) => {
      stream.pause();
      return write(answer, () => stream.resume());
    };
    handler(stream);
  };
}

/** Counts the beginning of a call. The returned function counts its end; further calls of it have no effect. */
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
