import { constants, type Http2Session, type ServerHttp2Stream } from "node:http2";
import type {
  Metadata,
  ServerInterceptingCallInterface,
  ServerInterceptor,
  StatusObject,
} from "@grpc/grpc-js";
import { FairCapacity } from "../admission/fair-capacity.ts";
import { invalidRequest, ServiceError } from "../errors.ts";
import {
  CHUNK_OVERHEAD_BYTES,
  CLIENT_END_MS,
  FRAGMENT_BYTES,
  LARGE_REQUEST_BYTES,
  MAX_FRAGMENTS,
  MAX_OPEN_REQUEST_CHUNKS,
  MAX_RECEIVE_MS,
  MAX_UNFINISHED_BYTES,
  MAX_UNFINISHED_CONNECTION_BYTES,
  WAITING_CALL_BYTES,
} from "../limits.ts";
import type { Clock } from "../time/clock.ts";
import { type FieldCountingSocket, fieldCountingSocketOf } from "./field-counting-socket.ts";
import type { FollowedConnection } from "./follow-connections.ts";
import { internalsOfCall } from "./grpc-js-internals.ts";
import type { Reader } from "./reading-turns.ts";
import { presentable, statusOf } from "./status.ts";
import { WaitingCall, WaitingCalls } from "./waiting-calls.ts";

/** A call whose headers have arrived, and whose body is not read yet. */
export interface CallHeaders {
  readonly metadata: Metadata;
  readonly call: Pick<ServerInterceptingCallInterface, "getPeer" | "getAuthContext" | "getDeadline">;
  /** Ends the call with `status`. */
  refuse(status: StatusObject): void;
}

/**
 * The property of the metadata that holds the caller of a stream whose method has no {@link CallAdmission}. The stream's handler sets the
 * property before it reads the first message.
 */
export const CALLER = Symbol("caller");

/** Admits or refuses a call by its headers, and is told of its progress. */
export interface CallAdmission {
  /** The caller's name; empty with authentication off, and until the call is admitted. */
  readonly caller: string;
  /** Whether the body may be read. If not, this method has already refused the call. */
  admit(): boolean | Promise<boolean>;
  /** The call's first message has arrived, and has more than LARGE_REQUEST_BYTES: `bytes` on the wire. */
  receivedLarge(bytes: number): void;
  /** The call was refused after `admit` returned true, because of its encoding, its message or lack of room for the message. */
  failed(error: ServiceError): void;
  /** The call has ended completely. */
  ended(): void;
}

/** The rules for the calls of one method. */
export interface IncomingRules {
  /** Maximum size of one message, in bytes. */
  readonly maxBytes: number;
  /**
   * Whether the method requires no authentication. The memory of its calls is then bounded per call, and takes nothing from the room that
   * known callers share.
   */
  readonly isPublic?: boolean;
  /** Called with the headers of each call. Absent: the method's handler authenticates each call before it reads the first message. */
  readonly createAdmission?: (headers: CallHeaders) => CallAdmission;
  /** For methods without `createAdmission`: called when a call of `peer` is refused before its handler is told of it. */
  readonly refusedBeforeHandler?: (error: ServiceError, peer: string) => void;
}

type Listener = Parameters<ServerInterceptingCallInterface["start"]>[0];
type Message = Parameters<Listener["onReceiveMessage"]>[0];

/** State of one connection. */
interface ConnectionBudget {
  /** Bytes of incomplete messages, with the overhead of their chunks. */
  unfinished: number;
  /** Undefined if HTTP/2 reads the connection natively; only then does grpc-js know the peer. */
  readonly socket: FieldCountingSocket | undefined;
  /** Undefined if the connection is not followed. */
  readonly connection: FollowedConnection | undefined;
  /** The peer's address, once it has been read, which takes microseconds. */
  peer: string | undefined;
}

interface Options {
  readonly clock: Clock;
  readonly connectionOf: (session: Http2Session) => FollowedConnection | undefined;
}

/**
 * Admits or refuses each call by its headers before its body is read, so that nothing is kept, decompressed or decoded for a refused call.
 * Bounds the memory of incomplete messages and the time that a message may take to arrive.
 */
export class IncomingCalls {
  readonly #rules = new Map<string, IncomingRules>();
  readonly #clock: Clock;
  readonly #connectionOf: Options["connectionOf"];
  readonly #budgets = new WeakMap<object, ConnectionBudget>();
  /** The memory for incomplete messages of known callers, over all connections. */
  readonly unfinished = new FairCapacity(MAX_UNFINISHED_BYTES);
  readonly waiting: WaitingCalls;

  constructor({ clock, connectionOf }: Options) {
    this.#clock = clock;
    this.#connectionOf = connectionOf;
    this.waiting = new WaitingCalls(clock, this.unfinished);
  }

  /** Applies `rules` to the calls of the method at `path`. Methods without rules keep the limits of grpc-js. */
  add(path: string, rules: IncomingRules): void {
    this.#rules.set(path, rules);
  }

  readonly interceptor: ServerInterceptor = (definition, call) => {
    const rules = this.#rules.get(definition.path);
    // The type of an interceptor's result is a class of grpc-js, which calls only this interface.
    return (
      rules === undefined ? call : new IncomingCall(call, { rules, calls: this })
    ) as ReturnType<ServerInterceptor>;
  };

  budgetOf(session: Http2Session): ConnectionBudget {
    let budget = this.#budgets.get(session);
    if (budget === undefined) {
      budget = {
        unfinished: 0,
        socket: fieldCountingSocketOf(session),
        peer: undefined,
        connection: this.#connectionOf(session),
      };
      this.#budgets.set(session, budget);
    }
    return budget;
  }

  /** Whether one more call of `owner` to the method at `path` may wait for its message. */
  hasRoomFor(path: string, owner: string): boolean {
    const rules = this.#rules.get(path);
    if (rules?.createAdmission === undefined || rules.isPublic) return true;
    const share = this.unfinished.take(owner, WAITING_CALL_BYTES);
    if (share !== undefined) this.unfinished.giveBack(share, owner, WAITING_CALL_BYTES);
    return share !== undefined;
  }

  /**
   * Closes the stream of a call that has ended, if its client has not half-closed the stream after `afterMs`: otherwise the stream would stay
   * open as long as its connection. The stream is reset (RFC 9113, section 8.1) only after the call's status has been sent, which Node.js would
   * otherwise drop. It is then destroyed: Node.js keeps a closed stream until its body has been read, and a refused call's body is not read.
   */
  closeSoon(stream: ServerHttp2Stream, afterMs = CLIENT_END_MS): void {
    if (stream.destroyed) return;
    let cancel = () => {};
    const closeIfStatusSent = () => {
      if (stream.destroyed) return;
      if (!stream.closed && stream.state.localClose !== 1) {
        cancel = this.#clock.schedule(CLIENT_END_MS, closeIfStatusSent);
        return;
      }
      stream.close(constants.NGHTTP2_NO_ERROR);
      stream.destroy();
    };
    cancel = this.#clock.schedule(afterMs, closeIfStatusSent);
    stream.once("close", () => cancel());
  }
}

/** One call, between grpc-js and the handler. Implements the interface of each toward the other. */
class IncomingCall extends WaitingCall implements ServerInterceptingCallInterface, Listener, CallHeaders {
  readonly #call: ServerInterceptingCallInterface;
  readonly #rules: IncomingRules;
  readonly #calls: IncomingCalls;
  #metadata: Metadata | undefined;
  #listener: Listener | undefined;
  #admission: CallAdmission | undefined;
  #budget: ConnectionBudget | undefined;
  /** Bytes since the last complete message, with the overhead of the chunks. */
  #held = 0;
  /** Bytes of the shared room that the call occupies, see {@link FairCapacity}. */
  #common = 0;
  #own = 0;
  /** See {@link owner}; undefined until it is first read. It is kept, since room must be given back under the name that took it. */
  #owner: string | undefined;
  /** Bytes and chunks since the last complete message. */
  #bytes = 0;
  #chunks = 0;
  /** Bytes received after the end of the call. */
  #bytesAfterEnd = 0;
  #hasEnded = false;
  /** Whether the handler has been told of the call. */
  #isPassedOn = false;
  /** Whether no message has arrived yet. */
  #isFirst = true;
  #isHalfClosed = false;
  /** Whether the message has arrived, but not the client's half-close. */
  #hasMessage = false;
  /** Whether the call found no room in this turn of the event loop. It waits without room until the turn ends. */
  #isWithoutRoom = false;

  constructor(
    call: ServerInterceptingCallInterface,
    { rules, calls }: { rules: IncomingRules; calls: IncomingCalls },
  ) {
    super();
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

  /** This object, since grpc-js does not know the peer of every call. */
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
    this.#admission = this.#rules.createAdmission?.(this);
    const admitted = this.#admission?.admit() ?? true;
    if (admitted instanceof Promise) void admitted.then((isAdmitted) => this.#read(isAdmitted));
    else this.#read(admitted);
  }

  #read(isAdmitted: boolean): void {
    if (!isAdmitted || this.#hasEnded) return;
    const { incomingEncoding, stream } = internalsOfCall(this.#call);
    if (incomingEncoding !== "identity") {
      this.fail(
        new ServiceError("UNSUPPORTED_ENCODING", "requests must not be compressed (grpc-encoding: identity)"),
      );
      return;
    }
    const { createAdmission, maxBytes } = this.#rules;
    if (
      createAdmission !== undefined &&
      Number(this.metadata.get("content-length")[0] ?? 0) > maxBytes + FRAME_BYTES
    ) {
      this.fail(tooLarge(maxBytes));
      return;
    }
    if (createAdmission !== undefined) {
      if (this.#takeFor(WAITING_CALL_BYTES)) this.#calls.waiting.add(this);
      else {
        this.#isWithoutRoom = true;
        this.#calls.waiting.addWithoutRoom(this);
      }
    }
    stream?.on("data", this.#count);
    this.#isPassedOn = true;
    if (this.#occupiesRoom) this.reader?.callOf(this.owner);
    this.#listener?.onReceiveMetadata(this.metadata);
  }

  onReceiveMessage(message: Message): void {
    // The size of a second message does not matter: grpc-js ends a unary call that has one.
    if (this.#isFirst && this.#bytes > LARGE_REQUEST_BYTES) this.#admission?.receivedLarge(this.#bytes);
    this.#isFirst = false;
    // A unary handler runs only once the client has half-closed. Until then, the call holds the decoded message.
    if (this.#occupiesRoom) {
      this.#hasMessage = true;
      this.#bytes = 0;
      this.#chunks = 0;
    } else this.#release();
    if (!this.#hasEnded) this.#listener?.onReceiveMessage(message);
  }

  onReceiveHalfClose(): void {
    this.#isHalfClosed = true;
    this.#release();
    if (this.#occupiesRoom && !this.#hasEnded) this.reader?.requestCompleted();
    // If the call has ended, grpc-js would still run its handler, which would never be told of the end. If the connection is lost, Node.js ends
    // the bodies of all its calls, possibly hundreds, as if the client had half-closed them, although they cannot be answered any more.
    const isLost = internalsOfCall(this.#call).stream?.aborted === true;
    if (!this.#hasEnded && !isLost) this.#listener?.onReceiveHalfClose();
  }

  onCancel(): void {
    this.#hasEnded = true;
    this.#release();
    this.#listener?.onCancel();
    this.#admission?.ended();
    const { stream } = internalsOfCall(this.#call);
    if (this.#isHalfClosed || stream === undefined) return;
    if (!this.#isPassedOn) stream.on("data", this.#count);
    this.#calls.closeSoon(stream);
  }

  /** Refuses the call after its admission. */
  fail(error: ServiceError): void {
    if (this.#hasEnded) return;
    this.#admission?.failed(error);
    if (!this.#isPassedOn) this.#rules.refusedBeforeHandler?.(error, this.getPeer());
    this.refuse(statusOf(error));
  }

  timedOut(): void {
    this.fail(
      new ServiceError("DEADLINE_EXCEEDED", `the message has not arrived within ${MAX_RECEIVE_MS} ms`),
    );
  }

  /** Like {@link fail}, but cheaper, since thousands of calls may fail for lack of room. */
  failForRoom(): void {
    if (this.#hasEnded) return;
    this.#admission?.failed(TOO_MANY_WAIT);
    this.refuse(TOO_MANY_WAIT_STATUS);
  }

  refuse(refusal: StatusObject): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#release();
    // The listener of a unary call holds the decoded message, and would hold it until the stream is closed. Its handler has not been called.
    if (this.#occupiesRoom && !this.#isHalfClosed) this.#listener = undefined;
    this.#call.sendStatus(refusal);
  }

  readonly #count = (chunk: Buffer): void => {
    if (this.#hasEnded) {
      this.reader?.received(chunk.length + CHUNK_OVERHEAD_BYTES);
      this.#receivedAfterEnd(chunk.length);
      return;
    }
    const held = chunk.length + CHUNK_OVERHEAD_BYTES;
    const budget = this.#budget as ConnectionBudget;
    this.reader?.received(held);
    this.#bytes += chunk.length;
    this.#chunks++;
    this.#held += held;
    budget.unfinished += held;
    const { maxBytes } = this.#rules;
    if (this.#chunks > MAX_FRAGMENTS + this.#bytes / FRAGMENT_BYTES) {
      this.fail(new ServiceError("OVERLOADED", "the message arrives in too many pieces"));
      budget.connection?.closeAsFlooding();
      return;
    }
    // The first chunk of the call begins with the length of its first message.
    const hasLength = this.#bytes === chunk.length && this.#isFirst && chunk.length >= FRAME_BYTES;
    if (hasLength && chunk.readUInt32BE(1) > maxBytes) this.fail(tooLarge(maxBytes));
    else if (this.#bytes > maxBytes + FRAME_BYTES + SLACK_BYTES) this.fail(tooLarge(maxBytes));
    else if (budget.unfinished > MAX_UNFINISHED_CONNECTION_BYTES || !this.#makeRoomFor(this.#held)) {
      this.fail(new ServiceError("OVERLOADED", "too much of unfinished messages is held"));
    }
    // For a later message of a stream: nothing else bounds the time that it takes to arrive. If this chunk completes the message, the message is
    // passed on, which ends the waiting, before the timer can fire.
    else if (!this.isWaiting) this.#calls.waiting.add(this);
  };

  #receivedAfterEnd(bytes: number): void {
    const { stream } = internalsOfCall(this.#call);
    if (stream === undefined || stream.destroyed) return;
    const isClosing = this.#bytesAfterEnd > LARGE_REQUEST_BYTES;
    this.#bytesAfterEnd += bytes;
    if (this.#bytesAfterEnd <= LARGE_REQUEST_BYTES) return;
    // A client can send no more than one HTTP/2 window to a stream that is not read.
    stream.pause();
    // Until the stream is destroyed, it counts toward the maximum of concurrent streams, even if its client has ended it.
    if (!isClosing) this.#calls.closeSoon(stream, 0);
  }

  get reader(): Reader | undefined {
    return this.#budget?.connection?.reader;
  }

  /** The caller whose room the call occupies. To be read only once the call has been admitted. */
  get owner(): string {
    this.#owner ??= this.#admission?.caller ?? (this.metadata as { [CALLER]?: string })[CALLER] ?? "";
    return this.#owner;
  }

  /**
   * Whether the call occupies room, and waits for the first byte of its message or for the client's half-close. False while a message is
   * arriving, and for calls of public methods and streams, which occupy no room before bytes arrive.
   */
  get canMakeRoom(): boolean {
    return this.#occupiesRoom && (this.#hasMessage || this.#common + this.#own === WAITING_CALL_BYTES);
  }

  /** Whether the call occupies room from its headers on. */
  get #occupiesRoom(): boolean {
    return this.#rules.createAdmission !== undefined && this.#rules.isPublic !== true;
  }

  needRoom(): void {
    this.#isWithoutRoom = false;
    const { waiting } = this.#calls;
    if (this.#makeRoomFor(WAITING_CALL_BYTES, () => waiting.endLongestForNew(this.owner, this))) return;
    this.failForRoom();
    // Behind a proxy, the next calls may be of another caller.
    if (this.reader?.caller !== undefined) this.reader.refusedForRoom();
  }

  /** A message that still waits for the half-close occupies room for its decoded size from now on. */
  stillWaits(): void {
    if (this.#hasMessage && !this.#takeFor(DECODED_CALL_BYTES)) this.failForRoom();
  }

  /** Like {@link #takeFor}, but ends waiting calls of the caller if necessary: no more than {@link FairCapacity} needs to have `bytes` free. */
  #makeRoomFor(bytes: number, endLongest = () => this.#calls.waiting.endLongest(this.owner, this)): boolean {
    for (let ended = 0; !this.#takeFor(bytes); ended += WAITING_CALL_BYTES) {
      // A caller may have no more of the second half than is free. So where ended calls free common room, up to twice `bytes` are needed.
      if (ended >= 2 * bytes || !endLongest()) return false;
    }
    return true;
  }

  /**
   * Takes more of the shared room, until the call occupies at least `bytes`. False if there is too little room. For public methods, only compares
   * the call's memory with its bound.
   */
  #takeFor(bytes: number): boolean {
    const { isPublic = false, maxBytes } = this.#rules;
    if (isPublic)
      return this.#held <= maxBytes + FRAME_BYTES + MAX_OPEN_REQUEST_CHUNKS * CHUNK_OVERHEAD_BYTES;
    if (this.#isWithoutRoom && bytes <= WAITING_CALL_BYTES) return true;
    const more = bytes - this.#common - this.#own;
    if (more <= 0) return true;
    const part = this.#calls.unfinished.take(this.owner, more);
    if (part === undefined) return false;
    if (part === "own") this.#own += more;
    else this.#common += more;
    return true;
  }

  /** Ends the waiting and releases the memory of the current message. */
  #release(): void {
    this.#calls.waiting.remove(this);
    if (this.#budget !== undefined) this.#budget.unfinished -= this.#held;
    this.#held = 0;
    this.#giveBackRoom();
    this.#bytes = 0;
    this.#chunks = 0;
  }

  #giveBackRoom(): void {
    const { unfinished } = this.#calls;
    if (this.#common > 0) unfinished.giveBack("common", this.owner, this.#common);
    if (this.#own > 0) unfinished.giveBack("own", this.owner, this.#own);
    this.#common = 0;
    this.#own = 0;
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
    if (this.#budget === undefined) return this.#call.getPeer();
    this.#budget.peer ??= this.#budget.socket?.peer ?? this.#call.getPeer();
    return this.#budget.peer;
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

/** Created once, since thousands of calls may fail with it. */
const TOO_MANY_WAIT = new ServiceError("OVERLOADED", "too many calls wait for their messages");
const TOO_MANY_WAIT_STATUS = statusOf(TOO_MANY_WAIT);
/** Room of a call whose message has arrived, and whose client does not half-close: a message of 4 KiB can have 1,000 tokens. */
const DECODED_CALL_BYTES = 128 * 1024;
/** Bytes before each gRPC message: a flag and the length. */
const FRAME_BYTES = 5;
/** How much more than one message may have arrived: a chunk may hold the end of a message and the beginning of the next. */
const SLACK_BYTES = 64 * 1024;

/** The error for a request of more than `maxBytes`. */
export function tooLarge(maxBytes: number): ServiceError {
  return invalidRequest([{ field: "", description: `the message must have at most ${maxBytes} bytes` }]);
}
