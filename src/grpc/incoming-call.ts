import { constants, type Http2Session, type ServerHttp2Stream } from "node:http2";
import type {
  Metadata,
  ServerInterceptingCallInterface,
  ServerInterceptor,
  StatusObject,
} from "@grpc/grpc-js";
import type { Clock } from "../clock.ts";
import { invalidRequest, ServiceError } from "../errors.ts";
import { FairRoom, type Part } from "../fair-room.ts";
import {
  CHUNK_OVERHEAD_BYTES,
  CLIENT_END_MS,
  LARGE_REQUEST_BYTES,
  MAX_OPEN_REQUEST_CHUNKS,
  MAX_RECEIVE_MS,
  MAX_UNFINISHED_BYTES,
  MAX_UNFINISHED_CONNECTION_BYTES,
} from "../limits.ts";
import { countingSocketOf, type FieldCountingSocket } from "./field-counting-socket.ts";
import { internalsOfCall } from "./grpc-js-internals.ts";
import { presentable, statusOf } from "./status.ts";

/** What is known of a call before anything of its body is read. */
export interface CallHeaders {
  readonly metadata: Metadata;
  readonly call: Pick<ServerInterceptingCallInterface, "getPeer" | "getAuthContext" | "getDeadline">;
  /** Ends the call. */
  refuse(status: StatusObject): void;
}

/**
 * Where the metadata of a stream holds whose it is. Its handler writes it there before it reads: of a stream nobody else judges the headers.
 */
export const CALLER = Symbol("caller");

/** Whoever answers a call, from its headers on. */
export interface HeadersJudge {
  /** Whose call it is, once that is known; empty where callers are not known. */
  readonly caller: string;
  /** Whether the body may be read. Where it may not, or false is what the promise comes to, the call has been refused. */
  judge(): boolean | Promise<boolean>;
  /** The call's message has arrived, a large one of so many bytes on the wire. Said once at most. */
  received(bytes: number): void;
  /** The call was refused for what came after the headers. */
  failed(error: ServiceError): void;
  /** Nothing of the call is left. */
  ended(): void;
}

/** What holds for the calls of one method. */
export interface IncomingRules {
  /** Bytes of one message. */
  readonly maxBytes: number;
  /** Anybody may make it: what is held of a call is bounded by itself, since nobody may take what known callers share. */
  readonly isForAnybody?: boolean;
  /** Makes who judges the headers. Absent: the method's handler does, before it reads. */
  readonly open?: (headers: CallHeaders) => HeadersJudge;
  /** A call of `peer` was refused before anything of it was handed on. */
  readonly refused?: (error: ServiceError, peer: string) => void;
}

type Listener = Parameters<ServerInterceptingCallInterface["start"]>[0];
type Message = Parameters<Listener["onReceiveMessage"]>[0];

/** What is kept of one connection. */
interface ConnectionBudget {
  /** Bytes of messages that have begun to arrive and are not complete. */
  unfinished: number;
  /** Undefined where HTTP/2 reads the connection itself, so that grpc-js knows who is at its other end. */
  readonly socket: FieldCountingSocket | undefined;
}

/**
 * Judges each call by its headers, before a byte of its body is read: nothing is kept, decompressed or decoded for a call that is refused. Bounds
 * what unfinished messages may hold, and how long they may take.
 */
export class IncomingCalls {
  readonly #rules = new Map<string, IncomingRules>();
  readonly #clock: Clock;
  readonly #budgets = new WeakMap<object, ConnectionBudget>();
  readonly #receiving = new WaitingCalls();
  #isWatching = false;
  /** What is held of known callers' unfinished messages, of all connections. */
  readonly unfinished = new FairRoom(MAX_UNFINISHED_BYTES);

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The calls of the method at `path` are held to `rules` from now on. Others keep what grpc-js allows. */
  add(path: string, rules: IncomingRules): void {
    this.#rules.set(path, rules);
  }

  readonly interceptor: ServerInterceptor = (definition, call) => {
    const rules = this.#rules.get(definition.path);
    // The types of an interceptor's result ask for the class of grpc-js; what it calls is this interface.
    return (
      rules === undefined ? call : new IncomingCall(call, { rules, calls: this })
    ) as ReturnType<ServerInterceptor>;
  };

  budgetOf(session: Http2Session): ConnectionBudget {
    let budget = this.#budgets.get(session);
    if (budget === undefined) {
      budget = { unfinished: 0, socket: countingSocketOf(session) };
      this.#budgets.set(session, budget);
    }
    return budget;
  }

  /** The call waits for its message from now on, and not for long. */
  await(call: IncomingCall): void {
    call.since = this.#clock.monotonic();
    this.#receiving.append(call);
    if (!this.#isWatching) this.#watch(MAX_RECEIVE_MS);
  }

  arrived(call: IncomingCall): void {
    this.#receiving.remove(call);
  }

  /**
   * The call of this stream has ended, and its client has not ended its side: that it never does would keep the stream for as long as its
   * connection. It is reset, as RFC 9113, section 8.1, has it, but not before the end of the call has gone: Node.js would drop that.
   */
  closeSoon(stream: ServerHttp2Stream): void {
    if (stream.destroyed) return;
    let cancel = () => {};
    const look = () => {
      if (stream.destroyed) return;
      if (stream.state.localClose === 1) stream.close(constants.NGHTTP2_NO_ERROR);
      else cancel = this.#clock.schedule(CLIENT_END_MS, look);
    };
    cancel = this.#clock.schedule(CLIENT_END_MS, look);
    stream.once("close", () => cancel());
  }

  /** One timer for all calls, of which thousands come and go before it fires. */
  #watch(ms: number): void {
    this.#isWatching = true;
    this.#clock.schedule(ms, () => {
      this.#isWatching = false;
      const now = this.#clock.monotonic();
      for (let call = this.#receiving.first; call !== undefined; call = this.#receiving.first) {
        const restMs = call.since + MAX_RECEIVE_MS - now;
        if (restMs > 0) {
          this.#watch(restMs);
          return;
        }
        this.#receiving.remove(call);
        call.fail(
          new ServiceError("DEADLINE_EXCEEDED", `the message has not arrived within ${MAX_RECEIVE_MS} ms`),
        );
      }
    });
  }
}

/**
 * Calls that wait for the first message, or the rest of one, those that wait longest first. They are linked through themselves, and forget each other when they
 * leave: the tables of a Set that calls pass through keep dead ones alive for long enough to cost a tenth of a call's time in garbage collection.
 */
class WaitingCalls {
  first: IncomingCall | undefined;
  #last: IncomingCall | undefined;

  append(call: IncomingCall): void {
    call.isWaiting = true;
    call.before = this.#last;
    if (this.#last === undefined) this.first = call;
    else this.#last.after = call;
    this.#last = call;
  }

  /** Does nothing for a call that is not in it. */
  remove(call: IncomingCall): void {
    if (!call.isWaiting) return;
    call.isWaiting = false;
    const { before, after } = call;
    if (before === undefined) this.first = after;
    else before.after = after;
    if (after === undefined) this.#last = before;
    else after.before = before;
    call.before = undefined;
    call.after = undefined;
  }
}

/** One call, between grpc-js and the handler: it is to each what the other would be. */
class IncomingCall implements ServerInterceptingCallInterface, Listener, CallHeaders {
  readonly #call: ServerInterceptingCallInterface;
  readonly #rules: IncomingRules;
  readonly #calls: IncomingCalls;
  #metadata: Metadata | undefined;
  #listener: Listener | undefined;
  #judge: HeadersJudge | undefined;
  #budget: ConnectionBudget | undefined;
  /** Bytes since the last complete message, with what the chunks themselves take; and as which parts of what callers share. */
  #held = 0;
  readonly #shares: Record<Part, number> = { common: 0, own: 0 };
  /** Whose these are. */
  #owner: string | undefined;
  #bytes = 0;
  #isOver = false;
  #isHandedOn = false;
  /** No message has arrived yet. */
  #isFirst = true;
  #isHalfClosed = false;
  /** When it began to wait for its message, by the monotonic clock. */
  since = 0;
  /** These are kept by {@link WaitingCalls}. */
  isWaiting = false;
  before: IncomingCall | undefined;
  after: IncomingCall | undefined;

  constructor(
    call: ServerInterceptingCallInterface,
    { rules, calls }: { rules: IncomingRules; calls: IncomingCalls },
  ) {
    this.#call = call;
    this.#rules = rules;
    this.#calls = calls;
  }

  start(listener: Listener): void {
    this.#listener = listener;
    this.#call.start(this);
  }

  get metadata(): Metadata {
    return this.#metadata as Metadata;
  }

  /** Itself: it knows more of its peer than grpc-js does. */
  get call(): this {
    return this;
  }

  onReceiveMetadata(metadata: Metadata): void {
    this.#metadata = metadata;
    const session = internalsOfCall(this.#call).stream?.session;
    if (session === undefined) {
      this.fail(presentable(new Error("grpc-js does not show the connection of a call")));
      return;
    }
    this.#budget = this.#calls.budgetOf(session);
    this.#judge = this.#rules.open?.(this);
    const admitted = this.#judge?.judge() ?? true;
    if (admitted instanceof Promise) void admitted.then((isAdmitted) => this.#read(isAdmitted));
    else this.#read(admitted);
  }

  #read(isAdmitted: boolean): void {
    if (!isAdmitted || this.#isOver) return;
    const { incomingEncoding, stream } = internalsOfCall(this.#call);
    if (incomingEncoding !== "identity") {
      this.fail(
        new ServiceError("UNSUPPORTED_ENCODING", "requests must not be compressed (grpc-encoding: identity)"),
      );
      return;
    }
    const { open, maxBytes } = this.#rules;
    if (open !== undefined && Number(this.metadata.get("content-length")[0] ?? 0) > maxBytes + FRAME_BYTES) {
      this.fail(tooLarge(maxBytes));
      return;
    }
    stream?.on("data", this.#count);
    if (open !== undefined) this.#calls.await(this);
    this.#isHandedOn = true;
    this.#listener?.onReceiveMetadata(this.metadata);
  }

  onReceiveMessage(message: Message): void {
    // Of a second one nothing is kept: grpc-js ends the call for it.
    if (this.#isFirst && this.#bytes > LARGE_REQUEST_BYTES) this.#judge?.received(this.#bytes);
    this.#isFirst = false;
    this.#release();
    if (!this.#isOver) this.#listener?.onReceiveMessage(message);
  }

  onReceiveHalfClose(): void {
    this.#isHalfClosed = true;
    this.#release();
    // After the end of a call grpc-js would hand it to its handler, who would never hear that it has ended.
    if (!this.#isOver) this.#listener?.onReceiveHalfClose();
  }

  onCancel(): void {
    this.#isOver = true;
    this.#release();
    this.#listener?.onCancel();
    this.#judge?.ended();
    const { stream } = internalsOfCall(this.#call);
    if (!this.#isHalfClosed && stream !== undefined) this.#calls.closeSoon(stream);
  }

  /** Refuses the call for what came after the headers. */
  fail(error: ServiceError): void {
    if (this.#isOver) return;
    this.#judge?.failed(error);
    if (!this.#isHandedOn) this.#rules.refused?.(error, this.getPeer());
    this.refuse(statusOf(error));
  }

  refuse(refusal: StatusObject): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#release();
    this.#call.sendStatus(refusal);
  }

  readonly #count = (chunk: Buffer): void => {
    if (this.#isOver) return;
    const held = chunk.length + CHUNK_OVERHEAD_BYTES;
    const budget = this.#budget as ConnectionBudget;
    this.#bytes += chunk.length;
    this.#held += held;
    budget.unfinished += held;
    const { maxBytes } = this.#rules;
    // Where it begins a message says at once how long it will be.
    const announced = this.#bytes === chunk.length && this.#isFirst && chunk.length >= FRAME_BYTES;
    if (announced && chunk.readUInt32BE(1) > maxBytes) this.fail(tooLarge(maxBytes));
    else if (this.#bytes > maxBytes + FRAME_BYTES + SLACK_BYTES) this.fail(tooLarge(maxBytes));
    else if (budget.unfinished > MAX_UNFINISHED_CONNECTION_BYTES || !this.#take(held)) {
      this.fail(new ServiceError("OVERLOADED", "too much of unfinished messages is held"));
    }
    // A message of a stream: nothing else bounds how long it takes to arrive. What completes one is handed on before the timer can fire.
    else if (!this.isWaiting) this.#calls.await(this);
  };

  /** False where there is no room for so much more. */
  #take(bytes: number): boolean {
    const { isForAnybody = false, maxBytes } = this.#rules;
    if (isForAnybody)
      return this.#held <= maxBytes + FRAME_BYTES + MAX_OPEN_REQUEST_CHUNKS * CHUNK_OVERHEAD_BYTES;
    this.#owner ??= this.#judge?.caller ?? (this.metadata as { [CALLER]?: string })[CALLER] ?? "";
    const part = this.#calls.unfinished.take(this.#owner, bytes);
    if (part === undefined) return false;
    this.#shares[part] += bytes;
    return true;
  }

  /** A message is complete, or nothing more is kept of it. */
  #release(): void {
    this.#calls.arrived(this);
    if (this.#budget !== undefined) this.#budget.unfinished -= this.#held;
    this.#held = 0;
    if (this.#owner !== undefined) {
      this.#giveBack(this.#owner, "common");
      this.#giveBack(this.#owner, "own");
    }
    this.#bytes = 0;
  }

  #giveBack(owner: string, part: Part): void {
    if (this.#shares[part] === 0) return;
    this.#calls.unfinished.giveBack(part, owner, this.#shares[part]);
    this.#shares[part] = 0;
  }

  sendMetadata(metadata: Metadata): void {
    this.#call.sendMetadata(metadata);
  }

  sendMessage(message: Message, callback: () => void): void {
    this.#call.sendMessage(message, callback);
  }

  sendStatus(end: Parameters<ServerInterceptingCallInterface["sendStatus"]>[0]): void {
    this.#call.sendStatus(end);
  }

  startRead(): void {
    this.#call.startRead();
  }

  getPeer(): string {
    return this.#budget?.socket?.peer ?? this.#call.getPeer();
  }

  getDeadline(): ReturnType<ServerInterceptingCallInterface["getDeadline"]> {
    return this.#call.getDeadline();
  }

  getHost(): string {
    return this.#call.getHost();
  }

  getAuthContext(): ReturnType<ServerInterceptingCallInterface["getAuthContext"]> {
    const socket = this.#budget?.socket;
    if (socket === undefined) return this.#call.getAuthContext();
    return { transportSecurityType: "ssl", sslPeerCertificate: socket.certificate };
  }

  getConnectionInfo(): ReturnType<ServerInterceptingCallInterface["getConnectionInfo"]> {
    return this.#call.getConnectionInfo();
  }

  getMetricsRecorder(): ReturnType<ServerInterceptingCallInterface["getMetricsRecorder"]> {
    return this.#call.getMetricsRecorder();
  }
}

/** A flag and a length stand before each message. */
const FRAME_BYTES = 5;
/** A chunk may hold the end of one message and the beginning of the next. */
const SLACK_BYTES = 64 * 1024;

/** A request of more than `maxBytes`. */
export function tooLarge(maxBytes: number): ServiceError {
  return invalidRequest([{ field: "", description: `the message must have at most ${maxBytes} bytes` }]);
}
