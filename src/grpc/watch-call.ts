import type { PeerCertificate } from "node:tls";
import { type ServerDuplexStream, status } from "@grpc/grpc-js";
import type { WatchRequest } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import type { Credentials } from "../auth/authenticator.ts";
import { NO_INDEX } from "../blacklist/doubt.ts";
import type { Feed } from "../blacklist/feed.ts";
import type { Subscription } from "../blacklist/subscription.ts";
import type { KnownCaller } from "../caller.ts";
import { invalidRequest, ServiceError } from "../errors.ts";
import { MAX_WATCH_STALL_MS, MAX_WATCH_UNSENT_BYTES, WATCH_HEARTBEAT_MS } from "../limits.ts";
import type { MethodCalls } from "../metrics/call-metrics.ts";
import { NOBODY, type Principal } from "../principal.ts";
import { logCall } from "./call-log.ts";
import { refused } from "./calls.ts";
import { MALFORMED } from "./service-definition.ts";
import { codeOf, presentable, statusOf } from "./status.ts";
import type { CallEnvironment } from "./unary.ts";
import { readStart, type WatchMessages } from "./watch-messages.ts";

interface Options extends CallEnvironment {
  readonly feed: Feed | undefined;
  readonly messages: WatchMessages;
  /** Where streams are counted. */
  readonly count: MethodCalls;
  readonly onEnd: () => void;
}

/** One stream of `Watch`, from its first message to its status. */
export class WatchCall implements KnownCaller, Credentials {
  readonly #call: ServerDuplexStream<WatchRequest, Buffer>;
  readonly #options: Options;
  readonly #began: number;
  #started = false;
  #subscription: Subscription | undefined;
  /** Proof that was asked for before there was anything to ask. */
  #askedEarly: bigint | undefined;
  #unsent = 0;
  /** By the monotonic clock: when anything was sent last, and when it last went out to the client. */
  #sentAt: number;
  #movedAt: number;
  #cancelTick = () => {};
  principal: Principal = NOBODY;
  gone = false;

  constructor(call: ServerDuplexStream<WatchRequest, Buffer>, options: Options) {
    this.#call = call;
    this.#options = options;
    this.#began = this.#sentAt = this.#movedAt = options.clock.monotonic();
    options.count.begin();
  }

  run(): void {
    const { calls, authenticate } = this.#options;
    const refusal = calls.enter(() => this.#call.getPeer());
    // It is counted as a stream that is kept, not as a call that is being answered.
    if (refusal === undefined) calls.leave();
    this.#call.once("cancelled", () => this.#end(status.CANCELLED));
    this.#attempt(async () => {
      if (refusal !== undefined) throw refused(refusal);
      this.principal = await authenticate(this);
      if (!this.principal.roles.has("check")) {
        throw new ServiceError("PERMISSION_DENIED", "the caller does not have the role check");
      }
      if (this.gone) return;
      this.#tick();
      this.#call.on("data", (request: WatchRequest) => this.#attempt(() => this.#receive(request)));
      // A stream that was cancelled ends too, and says that it was in the same turn.
      this.#call.once("end", () => setImmediate(() => this.#close()));
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
      else if (request.value.id > (this.#askedEarly ?? 0n)) this.#askedEarly = request.value.id;
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

  /** Hands over what there is, as long as what was handed over before does not pile up. */
  readonly #pump = (): void => {
    this.#attempt(() => {
      while (!this.gone && this.#unsent < MAX_WATCH_UNSENT_BYTES) {
        const delivery = this.#subscription?.next();
        if (delivery === undefined) return;
        this.#send(this.#options.messages.encode(delivery));
      }
    });
  };

  #send(message: Buffer): void {
    const { clock } = this.#options;
    if (this.#unsent === 0) this.#movedAt = clock.monotonic();
    this.#unsent += message.length;
    this.#sentAt = clock.monotonic();
    this.#call.write(message, () => {
      const wasFull = this.#unsent >= MAX_WATCH_UNSENT_BYTES;
      this.#unsent -= message.length;
      this.#movedAt = clock.monotonic();
      if (wasFull) this.#pump();
    });
  }

  /** A sign of life where nothing else was one; and an end to whoever reads nothing, or has been blacklisted. */
  #tick(): void {
    const { clock, feed, messages } = this.#options;
    this.#cancelTick = clock.schedule(WATCH_HEARTBEAT_MS, () => {
      this.#attempt(() => {
        const now = clock.monotonic();
        if (this.#unsent > 0 && now - this.#movedAt >= MAX_WATCH_STALL_MS) {
          throw new ServiceError("OVERLOADED", "the stream leaves everything unread");
        }
        if (this.#subscription !== undefined) feed?.judge(this);
        if (this.#unsent === 0 && now - this.#sentAt >= WATCH_HEARTBEAT_MS) this.#send(messages.heartbeat());
        this.#tick();
      });
    });
  }

  /** The client has said that it is done. */
  #close(): void {
    if (this.#end(status.OK)) this.#call.end();
  }

  /** Claims the stream's one end. False for whoever comes later. */
  #end(code: status, failure?: ServiceError): boolean {
    if (this.gone) return false;
    this.gone = true;
    this.#cancelTick();
    this.#subscription?.close();
    const { clock, count, log, onEnd } = this.#options;
    onEnd();
    const milliseconds = clock.monotonic() - this.#began;
    count.end(code, milliseconds / 1000);
    const ended = {
      method: "Watch",
      code,
      failure,
      milliseconds,
      caller: this.principal.name,
      peer: () => this.#call.getPeer(),
    };
    logCall(log, ended, { quiet: false });
    return true;
  }
}
