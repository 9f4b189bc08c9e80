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
import type { Connections } from "../connections/connections.ts";
import { MAX_OPEN_CALLS, MAX_OPEN_REQUEST_BYTES } from "../limits.ts";
import type { CallMetrics } from "../metrics/call-metrics.ts";
import { Call, type CalledMethod } from "./call.ts";
import type { CallAdmission, CallHeaders, IncomingCalls } from "./incoming-call.ts";
import { statusOf } from "./status.ts";
import { CALL, type CallMetadata } from "./unary-call.ts";

type UnaryHandler = (call: ServerUnaryCall<unknown, unknown>, callback: sendUnaryData<unknown>) => void;
type Stream = ServerWritableStream<unknown, unknown> | ServerDuplexStream<unknown, unknown>;
type StreamHandler = (call: Stream) => void;

interface Setup extends Pick<CalledMethod, "clock" | "logSampling"> {
  readonly callMetrics: CallMetrics;
  readonly connections: Pick<Connections, "callerOf">;
  readonly incoming: IncomingCalls;
}

/**
 * Returns a server for public services: they require no authentication, and their handlers have the form that grpc-js prescribes. Their calls
 * are counted like those of other services, and their requests must be small and arrive within MAX_RECEIVE_MS. The number of calls is bounded here for
 * connections of known callers, and by {@link Connections} for unauthenticated connections.
 */
export function publicServices(
  server: Pick<Server, "addService">,
  { callMetrics, incoming, ...shared }: Setup,
): Pick<Server, "addService"> {
  const capacity = new FairCapacity(MAX_OPEN_CALLS);
  return {
    addService(definition: ServiceDefinition, handlers: UntypedServiceImplementation) {
      const wrapped = Object.entries(definition).flatMap(([name, method]) => {
        const handler = (handlers[name] ?? handlers[method.originalName ?? name])?.bind(handlers);
        if (handler === undefined) return [];
        const publicMethod = { ...UNLOGGED, ...shared, name, count: callMetrics.of(method), capacity };
        incoming.add(method.path, {
          maxBytes: MAX_OPEN_REQUEST_BYTES,
          isPublic: true,
          createAdmission: (headers) => {
            const call = new PublicCall(headers, publicMethod);
            (headers.metadata as CallMetadata)[CALL] = call;
            return call;
          },
        });
        const handle = method.responseStream
          ? trackStream(withBackpressure(handler as StreamHandler, method.requestStream))
          : trackUnary(handler as UnaryHandler);
        return [[name, handle as UntypedHandleCall]];
      });
      server.addService(definition, Object.fromEntries(wrapped));
    },
  };
}

/** Calls of public services change nothing, so they are not audited. Health writes its own log lines. */
const UNLOGGED = {
  log: undefined,
  auditLog: undefined,
  describeForAudit: undefined,
  summarizeForLog: undefined,
  spans: undefined,
  logsSuccessAtDebug: true,
};

function callOf({ metadata }: { readonly metadata: CallMetadata }): PublicCall {
  return metadata[CALL] as PublicCall;
}

interface PublicMethod extends CalledMethod, Pick<Setup, "connections"> {
  /** The maximum number of calls on connections of known callers, shared by all public services. */
  readonly capacity: FairCapacity;
}

class PublicCall extends Call<PublicMethod> implements CallAdmission {
  readonly #headers: CallHeaders;
  /** The caller known on the call's connection; undefined if the connection is unauthenticated. */
  readonly #caller: string | undefined;
  readonly peer: string;
  /** The call's share of the capacity; undefined if it has none. */
  #share: Share | undefined;

  constructor(headers: CallHeaders, method: PublicMethod) {
    super(method);
    this.#headers = headers;
    this.peer = headers.call.getPeer();
    this.#caller = method.connections.callerOf(this.peer);
  }

  get caller(): string {
    return this.#caller ?? "";
  }

  admit(): boolean {
    if (this.#caller === undefined) return true;
    this.#share = this.method.capacity.take(this.#caller);
    if (this.#share !== undefined) return true;
    const error = admissionError("OVERLOADED");
    this.failed(error);
    this.#headers.refuse(statusOf(error));
    return false;
  }

  receivedLarge(): void {}

  ended(): void {
    // No effect on a call that has already been answered.
    this.end(status.CANCELLED);
    if (this.#share !== undefined) this.method.capacity.giveBack(this.#share, this.caller);
    this.#share = undefined;
  }
}

function trackUnary(handler: UnaryHandler): UnaryHandler {
  return (call, callback) => {
    const publicCall = callOf(call);
    handler(call, (error, ...answer) => {
      publicCall.end(error === null ? status.OK : codeOfError(error));
      callback(error, ...answer);
    });
  };
}

function trackStream(handler: StreamHandler): StreamHandler {
  return (call) => {
    const publicCall = callOf(call);
    call.once("finish", () => publicCall.end(status.OK));
    call.once("error", (error) => publicCall.end(codeOfError(error)));
    handler(call);
  };
}

/**
 * Reads the next request of a bidirectional stream only after the last response has been sent. Otherwise, responses to a peer that does not
 * read would be buffered without bound.
 */
function withBackpressure(handler: StreamHandler, isBidirectional: boolean): StreamHandler {
  if (!isBidirectional) return handler;
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

function codeOfError(error: unknown): status {
  return (error as { code?: status }).code ?? status.UNKNOWN;
}
