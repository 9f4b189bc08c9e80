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
import { refused } from "../calls.ts";
import type { Clock } from "../clock.ts";
import type { ServiceError } from "../errors.ts";
import { FairRoom, type Part } from "../fair-room.ts";
import { MAX_OPEN_CALLS, MAX_OPEN_REQUEST_BYTES } from "../limits.ts";
import type { CallMetrics, MethodCalls } from "../metrics/call-metrics.ts";
import type { CallHeaders, HeadersJudge, IncomingCalls } from "./incoming-call.ts";
import { codeOf, statusOf } from "./status.ts";

type UnaryHandler = (call: ServerUnaryCall<unknown, unknown>, callback: sendUnaryData<unknown>) => void;
type Stream = ServerWritableStream<unknown, unknown> | ServerDuplexStream<unknown, unknown>;
type StreamHandler = (call: Stream) => void;

/**
 * A server to which services are added that anybody may ask, in calls without our wrapper: they are counted like ours, and their requests have to
 * be small, and to arrive soon. On the connections of known callers they are bounded here; those of strangers are where their connections are.
 */
export function counted(
  server: Pick<Server, "addService">,
  { calls, callerOf, clock, incoming }: Setup,
): Pick<Server, "addService"> {
  const room = new FairRoom(MAX_OPEN_CALLS);
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
          // A handler of many messages is called at once, and hears by itself that its call has ended.
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
  /** Who is known on the connection of `peer`: a name, empty where callers are not known; undefined for nobody. */
  readonly callerOf: (peer: string) => string | undefined;
  readonly clock: Clock;
  readonly incoming: IncomingCalls;
}

interface OpenCallSetup extends Pick<Setup, "callerOf"> {
  /** It was refused for want of room, before anything of it was handed on. */
  readonly refused: (error: ServiceError) => void;
  /** It was refused for what came after that. */
  readonly failed: (error: ServiceError) => void;
  readonly room: FairRoom;
}

/** A call that anybody may make. */
class OpenCall implements HeadersJudge {
  readonly caller: string;
  readonly failed: (error: ServiceError) => void;
  readonly #headers: CallHeaders;
  readonly #setup: OpenCallSetup;
  readonly #isStranger: boolean;
  #part: Part | undefined;

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
    const error = refused("OVERLOADED");
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

/** Where questions come on a stream, the next one is read when the answer to the last one has left: nothing else would hold back a peer that takes none. */
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
