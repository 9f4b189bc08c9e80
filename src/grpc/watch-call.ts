import type { PeerCertificate } from "node:tls";
import { Metadata, type ServerDuplexStream, status } from "@grpc/grpc-js";
import type { WatchRequest } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import type { Credentials } from "../auth/authenticator.ts";
import { NO_INDEX } from "../blacklist/doubt.ts";
import type { Feed } from "../blacklist/feed.ts";
import { later, type Subscription } from "../blacklist/subscription.ts";
import type { KnownCaller } from "../caller.ts";
import { refused } from "../calls.ts";
import { invalidRequest, ServiceError } from "../errors.ts";
import { DEFAULT_DEADLINE_MS, MAX_WATCH_STALL_MS, WATCH_END_MS, WATCH_HEARTBEAT_MS } from "../limits.ts";
import type { MethodCalls } from "../metrics/call-metrics.ts";
import { NOBODY, type Principal } from "../principal.ts";
import type { CallSpans } from "../tracing/call-spans.ts";
import { endCall, type MethodSpans } from "../tracing/method-spans.ts";
import { logCall } from "./call-log.ts";
import { MALFORMED } from "./service-definition.ts";
import { codeOf, presentable, statusOf } from "./status.ts";
import type { CallEnvironment } from "./unary.ts";
import { readStart, type WatchMessages } from "./watch-messages.ts";

interface Options extends CallEnvironment {
  readonly feed: Feed | undefined;
  readonly messages: WatchMessages;
  /** Where streams are counted. */
  readonly count: MethodCalls;
  /** What makes spans of them; absent where nobody takes any. */
  readonly spans: MethodSpans | undefined;
  /** Ends the connection of a peer. */
  readonly cut: (peer: string) => void;
  /** Called when nothing of it is left. */
  readonly onClosed: () => void;
}

/** One stream of `Watch`, from its first message to its status. */
export class WatchCall implements KnownCaller, Credentials {
  readonly #call: ServerDuplexStream<WatchRequest, Buffer>;
  readonly #options: Options;
  readonly #began: number;
  /** It is not known any more when the stream is over. */
  readonly #peer: string;
  #started = false;
  #subscription: Subscription | undefined;
  /** Proof that was asked for before there was anything to ask. */
  #askedEarly: bigint | undefined;
  /** A message has been handed to the connection and has not gone yet: the client reads slowly. */
  #isSending = false;
  /** When the last one was handed over, by the monotonic clock. */
  #sentAt: number;
  #cancelTick = () => {};
  principal: Principal = NOBODY;
  gone = false;
  readonly trace: CallSpans | undefined;

  constructor(call: ServerDuplexStream<WatchRequest, Buffer>, options: Options) {
    this.#call = call;
    this.#options = options;
    this.#began = this.#sentAt = options.clock.monotonic();
    this.#peer = call.getPeer();
    // Said of every stream at its very end, however it came.
    call.once("cancelled", () => this.#closed());
    options.count.begin();
    this.trace = options.spans?.begin(call.metadata);
  }

  run(): void {
    const { calls, authenticate } = this.#options;
    const refusal = calls.enter(() => this.#peer);
    // It is counted as a stream that is kept, not as a call that is being answered.
    if (refusal === undefined) calls.leave();
    this.#attempt(async () => {
      if (refusal !== undefined) throw refused(refusal);
      this.principal = await authenticate(this);
      if (!this.principal.roles.has("check")) {
        throw new ServiceError("PERMISSION_DENIED", "the caller does not have the role check");
      }
      if (this.gone) return;
      this.#tick();
      this.#call.on("data", (request: WatchRequest) => this.#attempt(() => this.#receive(request)));
      this.#call.once("end", () => {
        // A stream that was cancelled ends too. grpc-js says that it was, in this turn, once it looks whether it is still there.
        this.#call.sendMetadata(new Metadata());
        setImmediate(() => this.#close());
      });
    });
  }

  get authorization(): readonly unknown[] {
    return this.#call.metadata.get("authorization");
  }

  certificate(): PeerCertificate | undefined {
    return this.#call.getAuthContext().sslPeerCertificate;
  }

  /** Ends the stream with an error. What has been handed to the connection still goes out before it. */
  fail(error: unknown): void {
    const failure = presentable(error);
    if (this.#end(codeOf(failure), failure)) this.#call.emit("error", statusOf(failure));
  }

  #attempt(work: () => void | Promise<void>): void {
    if (this.gone) return;
    try {
      const working = work();
      if (working instanceof Promise) working.catch((error: unknown) => this.fail(error));
    } catch (error) {
      this.fail(error);
    }
  }

  async #receive(received: WatchRequest): Promise<void> {
    if ((received as unknown) === MALFORMED) {
      throw invalidRequest([{ field: "", description: "the message is not a well-formed WatchRequest" }]);
    }
    const { request } = received;
    if (request.case === "sync" && this.#started) {
      if (this.#subscription !== undefined) this.#subscription.sync(request.value.id);
      else this.#askedEarly = later(request.value.id, this.#askedEarly ?? 0n);
      return;
    }
    if (request.case !== "start" || this.#started) {
      throw invalidRequest([
        { field: "request", description: "must be start in the first message, and sync later" },
      ]);
    }
    this.#started = true;
    const copy = readStart(request.value);
    const { feed } = this.#options;
    if (feed === undefined) throw NO_INDEX;
    const subscription = await feed.open(copy, this);
    if (this.gone) {
      subscription.close();
      return;
    }
    this.#subscription = subscription;
    subscription.onReady = () => this.#pump();
    if (this.#askedEarly !== undefined) subscription.sync(this.#askedEarly);
    this.#pump();
  }

  /**
   * Hands over the next message when the last one has gone. One at a time: whoever is far behind holds up nobody else, one who reads
   * nothing has one message kept for it, and none is written after grpc-js has ended the stream at its deadline.
   */
  readonly #pump = (): void => {
    this.#attempt(() => {
      if (this.#isSending || this.#isLate) return;
      const delivery = this.#subscription?.next();
      if (delivery !== undefined) this.#send(this.#options.messages.encode(delivery));
    });
  };

  #send(message: Buffer): void {
    this.#isSending = true;
    this.#sentAt = this.#options.clock.monotonic();
    this.#call.write(message, () => {
      this.#isSending = false;
      this.#pump();
    });
  }

  /** A sign of life where nothing else was one; and an end to whoever reads nothing, or has been blacklisted. */
  #tick(): void {
    const { clock, feed, messages } = this.#options;
    this.#cancelTick = clock.schedule(WATCH_HEARTBEAT_MS, () => {
      this.#attempt(() => {
        const now = clock.monotonic();
        if (this.#isSending && now - this.#sentAt >= MAX_WATCH_STALL_MS) {
          throw new ServiceError("OVERLOADED", "the stream leaves everything unread");
        }
        if (!this.#started && now - this.#began >= DEFAULT_DEADLINE_MS) {
          throw new ServiceError("DEADLINE_EXCEEDED", `start has not come within ${DEFAULT_DEADLINE_MS} ms`);
        }
        if (this.#subscription !== undefined) feed?.judge(this);
        if (!this.#isSending && now - this.#sentAt >= WATCH_HEARTBEAT_MS) this.#send(messages.heartbeat());
        this.#tick();
      });
    });
  }

  /** The client has said that it is done. */
  #close(): void {
    if (this.#end(this.#isLate ? status.DEADLINE_EXCEEDED : status.OK)) this.#call.end();
  }

  /** Whether the deadline that the client has set is over: grpc-js ends the stream then. */
  get #isLate(): boolean {
    return Number(this.#call.getDeadline()) <= Date.now();
  }

  /** Nothing of it is left: the client has taken the end, or has gone without one. */
  #closed(): void {
    this.#end(this.#isLate ? status.DEADLINE_EXCEEDED : status.CANCELLED);
    this.#cancelTick();
    this.#options.onClosed();
  }

  /** Claims the stream's one end. False for whoever comes later. */
  #end(code: status, failure?: ServiceError): boolean {
    if (this.gone) return false;
    this.gone = true;
    this.#cancelTick();
    this.#subscription?.close();
    const { clock, count, cut, log } = this.#options;
    this.#cancelTick = clock.schedule(WATCH_END_MS, () => cut(this.#peer));
    const milliseconds = clock.monotonic() - this.#began;
    count.end(code, milliseconds / 1000);
    if (this.trace !== undefined) {
      endCall(this.trace, { code: status[code], reason: failure?.reason, peer: this.#peer });
    }
    const ended = {
      method: "Watch",
      code,
      failure,
      milliseconds,
      caller: this.principal.name,
      peer: () => this.#peer,
    };
    logCall(log, ended, { quiet: false });
    return true;
  }
}
