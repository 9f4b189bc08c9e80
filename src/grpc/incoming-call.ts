import { constants, type Http2Session, type ServerHttp2Stream } from "node:http2";
import type {
  Metadata,
  ServerInterceptingCallInterface,
  ServerInterceptor,
  StatusObject,
} from "@grpc/grpc-js";
import { FairCapacity, type Share } from "../admission/fair-capacity.ts";
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
import { countingSocketOf, type FieldCountingSocket } from "./field-counting-socket.ts";
import type { FollowedConnection } from "./follow-connections.ts";
import { internalsOfCall } from "./grpc-js-internals.ts";
import type { Reader } from "./reading-turns.ts";
import { presentable, statusOf } from "./status.ts";
import { WaitingCall, WaitingCalls } from "./waiting-calls.ts";

/** A call before its body is read. */
export interface CallHeaders {
  readonly metadata: Metadata;
  readonly call: Pick<ServerInterceptingCallInterface, "getPeer" | "getAuthContext" | "getDeadline">;
  /** Ends the call with `status`. */
  refuse(status: StatusObject): void;
}

/**
 * The metadata property that holds the caller of a stream whose method has no {@link CallAdmission}. Its handler sets the property before it
 * reads.
 */
export const CALLER = Symbol("caller");

/** Admits or refuses a call by its headers, and is told of its progress. */
export interface CallAdmission {
  /** The caller, once known; empty with authentication off. */
  readonly caller: string;
  /** Whether the body may be read. If it returns or resolves to false, it has already refused the call. */
  admit(): boolean | Promise<boolean>;
  /** A large message of the call has arrived, with its size on the wire. Called at most once, and not for small messages. */
  receivedLarge(bytes: number): void;
  /** The call was refused for what followed its headers. */
  failed(error: ServiceError): void;
  /** The call has ended completely. */
  ended(): void;
}

/** The rules for the calls of one method. */
export interface IncomingRules {
  /** Maximum size of one message, in bytes. */
  readonly maxBytes: number;
  /**
   * The method requires no authentication. What its calls hold is bounded per call, so that it takes nothing from the room that known
   * callers share.
   */
  readonly isPublic?: boolean;
  /** Called with the headers of each call. Absent: the method's handler authenticates the call before it reads. */
  readonly open?: (headers: CallHeaders) => CallAdmission;
  /** A call of `peer` was refused before any of it was passed on. */
  readonly refused?: (error: ServiceError, peer: string) => void;
}

type Listener = Parameters<ServerInterceptingCallInterface["start"]>[0];
type Message = Parameters<Listener["onReceiveMessage"]>[0];

/** State of one connection. */
interface ConnectionBudget {
  /** Bytes of incomplete messages. */
  unfinished: number;
  /** Undefined if HTTP/2 reads the connection natively; grpc-js then knows its peer. */
  readonly socket: FieldCountingSocket | undefined;
  /** Undefined if the connection is not followed. */
  readonly connection: FollowedConnection | undefined;
}

interface Options {
  readonly clock: Clock;
  readonly connectionOf: (session: Http2Session) => FollowedConnection | undefined;
}

/**
 * Admits or refuses each call by its headers before its body is read, so that nothing is kept, decompressed or decoded for a refused call. Bounds the
 * memory of incomplete messages and the time that a message may take to arrive.
 */
export class IncomingCalls {
  readonly #rules = new Map<string, IncomingRules>();
  readonly #clock: Clock;
  readonly #connectionOf: Options["connectionOf"];
  readonly #budgets = new WeakMap<object, ConnectionBudget>();
  /** Room for incomplete messages of known callers, over all connections. */
  readonly unfinished = new FairCapacity(MAX_UNFINISHED_BYTES);
  readonly waiting: WaitingCalls;

  constructor({ clock, connectionOf }: Options) {
    this.#clock = clock;
    this.#connectionOf = connectionOf;
    this.waiting = new WaitingCalls(clock, this.unfinished);
  }

  /** Applies `rules` to the calls of the method at `path`. Other methods keep the limits of grpc-js. */
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
        socket: countingSocketOf(session),
        connection: this.#connectionOf(session),
      };
      this.#budgets.set(session, budget);
    }
    return budget;
  }

  /** Whether one more call of `owner` to the method at `path` may wait for its message. */
  hasRoomFor(path: string, owner: string): boolean {
    const rules = this.#rules.get(path);
    if (rules?.open === undefined || rules.isPublic) return true;
    const share = this.unfinished.take(owner, WAITING_CALL_BYTES);
    if (share !== undefined) this.unfinished.giveBack(share, owner, WAITING_CALL_BYTES);
    return share !== undefined;
  }

  /**
   * Closes the stream of a call that has ended, if its client has not half-closed it after a while: otherwise the stream would stay open as
   * long as its connection. It is reset (RFC 9113, section 8.1) only after the end of the call has been sent, since Node.js would drop
   * that. The stream is then destroyed: Node.js keeps a closed stream until its body has been read, and the body of a refused call is not read.
   */
  closeSoon(stream: ServerHttp2Stream, afterMs = CLIENT_END_MS): void {
    if (stream.destroyed) return;
    let cancel = () => {};
    const look = () => {
      if (stream.destroyed) return;
      if (!stream.closed && stream.state.localClose !== 1) {
        cancel = this.#clock.schedule(CLIENT_END_MS, look);
        return;
      }
      stream.close(constants.NGHTTP2_NO_ERROR);
      stream.destroy();
    };
    cancel = this.#clock.schedule(afterMs, look);
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
  /** The parts of the shared room that the call occupies. */
  readonly #shares: Record<Share, number> = { common: 0, own: 0 };
  /** Whose room it is; undefined until the call first takes some. The same name gives it back, whatever becomes of the caller. */
  #owner: string | undefined;
  #bytes = 0;
  /** Bytes received after the end of the call. */
  #lateBytes = 0;
  /** Chunks of the current message. */
  #chunks = 0;
  #isOver = false;
  #isHandedOn = false;
  /** No message has arrived yet. */
  #isFirst = true;
  #isHalfClosed = false;
  /** Whether the message has arrived, but not the client's half-close. */
  #hasMessage = false;
  /** Whether it found no room and was passed on nevertheless, in this turn of the event loop. */
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

  /** This object, since it knows the peer where grpc-js does not. */
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
    this.#admission = this.#rules.open?.(this);
    const admitted = this.#admission?.admit() ?? true;
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
    if (open !== undefined) {
      if (this.#takeFor(WAITING_CALL_BYTES)) this.#calls.waiting.add(this);
      else {
        this.#isWithoutRoom = true;
        this.#calls.waiting.addWithoutRoom(this);
      }
    }
    stream?.on("data", this.#count);
    this.#isHandedOn = true;
    if (open !== undefined) this.reader?.callOf(this.owner);
    this.#listener?.onReceiveMetadata(this.metadata);
  }

  onReceiveMessage(message: Message): void {
    // A second message is not kept: grpc-js ends the call for it.
    if (this.#isFirst && this.#bytes > LARGE_REQUEST_BYTES) this.#admission?.receivedLarge(this.#bytes);
    this.#isFirst = false;
    // Its handler runs only once the client has half-closed, and until then the call holds the decoded message.
    if (this.#occupiesRoom) {
      this.#hasMessage = true;
      this.#bytes = 0;
      this.#chunks = 0;
    } else this.#release();
    if (!this.#isOver) this.#listener?.onReceiveMessage(message);
  }

  onReceiveHalfClose(): void {
    this.#isHalfClosed = true;
    this.#release();
    // After the end of a call, grpc-js would pass the call to its handler, which would never be told that it has ended. If the connection is
    // lost, Node.js ends the body as if the client had, for hundreds of calls at once, whose answers cannot be sent.
    const isLost = internalsOfCall(this.#call).stream?.aborted === true;
    if (!this.#isOver && !isLost) this.#listener?.onReceiveHalfClose();
  }

  onCancel(): void {
    this.#isOver = true;
    this.#release();
    this.#listener?.onCancel();
    this.#admission?.ended();
    const { stream } = internalsOfCall(this.#call);
    if (this.#isHalfClosed || stream === undefined) return;
    if (!this.#isHandedOn) stream.on("data", this.#count);
    this.#calls.closeSoon(stream);
  }

  /** Refuses the call for what followed its headers. */
  fail(error: ServiceError): void {
    if (this.#isOver) return;
    this.#admission?.failed(error);
    if (!this.#isHandedOn) this.#rules.refused?.(error, this.getPeer());
    this.refuse(statusOf(error));
  }

  timedOut(): void {
    this.fail(
      new ServiceError("DEADLINE_EXCEEDED", `the message has not arrived within ${MAX_RECEIVE_MS} ms`),
    );
  }

  /** As {@link fail}, for lack of room; cheaper, since thousands of calls may fail so. */
  failForRoom(): void {
    if (this.#isOver) return;
    this.#admission?.failed(TOO_MANY_WAIT);
    this.refuse(TOO_MANY_WAIT_STATUS);
  }

  refuse(refusal: StatusObject): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#release();
    this.#call.sendStatus(refusal);
  }

  readonly #count = (chunk: Buffer): void => {
    if (this.#isOver) {
      this.reader?.received(chunk.length + CHUNK_OVERHEAD_BYTES);
      this.#late(chunk.length);
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
      budget.connection?.flooded();
      return;
    }
    // The first chunk of a message announces the message's length.
    const announced = this.#bytes === chunk.length && this.#isFirst && chunk.length >= FRAME_BYTES;
    if (announced && chunk.readUInt32BE(1) > maxBytes) this.fail(tooLarge(maxBytes));
    else if (this.#bytes > maxBytes + FRAME_BYTES + SLACK_BYTES) this.fail(tooLarge(maxBytes));
    else if (budget.unfinished > MAX_UNFINISHED_CONNECTION_BYTES || !this.#makeRoomFor(this.#held)) {
      this.fail(new ServiceError("OVERLOADED", "too much of unfinished messages is held"));
    }
    // A later message of a stream: nothing else bounds the time that it takes to arrive. A chunk that completes a message is passed on
    // before the timer can fire.
    else if (!this.isWaiting) this.#calls.waiting.add(this);
  };

  /** Bytes have arrived after the end of the call. */
  #late(bytes: number): void {
    const { stream } = internalsOfCall(this.#call);
    if (stream === undefined || stream.destroyed) return;
    const isClosing = this.#lateBytes > LARGE_REQUEST_BYTES;
    this.#lateBytes += bytes;
    if (this.#lateBytes <= LARGE_REQUEST_BYTES) return;
    // Without being read, the client can send no more than a window of it.
    stream.pause();
    // Until the stream is destroyed, it takes the place of another on its connection, even if its client has ended it.
    if (!isClosing) this.#calls.closeSoon(stream, 0);
  }

  get reader(): Reader | undefined {
    return this.#budget?.connection?.reader;
  }

  /** The caller whose room it occupies. To be read once the call has been admitted. */
  get owner(): string {
    this.#owner ??= this.#admission?.caller ?? (this.metadata as { [CALLER]?: string })[CALLER] ?? "";
    return this.#owner;
  }

  /**
   * Whether it occupies room while it waits for its message or for the client's half-close. False for calls of public methods and for streams,
   * which occupy none while they wait.
   */
  get canGiveWay(): boolean {
    return (
      this.#occupiesRoom &&
      (this.#hasMessage || this.#shares.common + this.#shares.own === WAITING_CALL_BYTES)
    );
  }

  /** Whether the call occupies room from its headers on. */
  get #occupiesRoom(): boolean {
    return this.#rules.open !== undefined && this.#rules.isPublic !== true;
  }

  needRoom(): void {
    this.#isWithoutRoom = false;
    if (this.#makeRoomFor(WAITING_CALL_BYTES)) return;
    this.failForRoom();
    // Behind a proxy, the next calls may be of another caller.
    if (this.reader?.caller !== undefined) this.reader.refusedForRoom();
  }

  /** The call has waited for a while: what it has sent is counted by the memory that it takes decoded. */
  waited(): void {
    if (this.#hasMessage && !this.#takeFor(DECODED_CALL_BYTES)) this.failForRoom();
  }

  /** As {@link #takeFor}, and ends waiting calls of the caller if necessary, though no more than {@link FairCapacity} needs for this room. */
  #makeRoomFor(bytes: number): boolean {
    for (let ended = 0; !this.#takeFor(bytes); ended += WAITING_CALL_BYTES) {
      // What is free is also what the caller may have at most, so ended calls of the first half count once, and are needed twice.
      if (ended >= 2 * bytes || !this.#calls.waiting.endLongest(this.owner, this)) return false;
    }
    return true;
  }

  /** Has the call occupy at least `bytes` of the shared room. False if there is no room. */
  #takeFor(bytes: number): boolean {
    const { isPublic = false, maxBytes } = this.#rules;
    if (isPublic)
      return this.#held <= maxBytes + FRAME_BYTES + MAX_OPEN_REQUEST_CHUNKS * CHUNK_OVERHEAD_BYTES;
    if (this.#isWithoutRoom && bytes <= WAITING_CALL_BYTES) return true;
    const more = bytes - this.#shares.common - this.#shares.own;
    if (more <= 0) return true;
    const part = this.#calls.unfinished.take(this.owner, more);
    if (part === undefined) return false;
    this.#shares[part] += more;
    return true;
  }

  /** Releases what the current message holds, when the call has it entirely, or when it is abandoned. */
  #release(): void {
    this.#calls.waiting.remove(this);
    if (this.#budget !== undefined) this.#budget.unfinished -= this.#held;
    this.#held = 0;
    this.#giveBack("common");
    this.#giveBack("own");
    this.#bytes = 0;
    this.#chunks = 0;
  }

  #giveBack(part: Share): void {
    if (this.#shares[part] === 0) return;
    this.#calls.unfinished.giveBack(part, this.owner, this.#shares[part]);
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

/** Created once, since thousands of calls may fail so. */
const TOO_MANY_WAIT = new ServiceError("OVERLOADED", "too many calls wait for their messages");
const TOO_MANY_WAIT_STATUS = statusOf(TOO_MANY_WAIT);
/** What such a call counts for if its message has arrived and the client does not half-close: a message of 4 KiB can have 1,000 tokens. */
const DECODED_CALL_BYTES = 128 * 1024;
/** Each message is preceded by a flag and a length. */
const FRAME_BYTES = 5;
/** A chunk may hold the end of one message and the beginning of the next. */
const SLACK_BYTES = 64 * 1024;

/** The error for a request of more than `maxBytes`. */
export function tooLarge(maxBytes: number): ServiceError {
  return invalidRequest([{ field: "", description: `the message must have at most ${maxBytes} bytes` }]);
}
