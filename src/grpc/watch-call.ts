import type { ServerDuplexStream } from "@grpc/grpc-js";
import type { WatchRequest } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { later, type Subscription } from "../blacklist/subscription.ts";
import { NO_INDEX } from "../blacklist/unavailability.ts";
import type { WatchHub } from "../blacklist/watch-hub.ts";
import { invalidRequest, ServiceError } from "../errors.ts";
import { DEFAULT_DEADLINE_MS, MAX_STREAM_STALL_MS, WATCH_HEARTBEAT_MS } from "../limits.ts";
import { StreamCall, type StreamEnvironment } from "./stream-call.ts";
import type { RegisteredStream, StreamEvents } from "./stream-registry.ts";
import { readStart, type WatchMessages } from "./watch-messages.ts";

interface Options extends StreamEnvironment, StreamEvents {
  readonly feed: WatchHub | undefined;
  readonly messages: WatchMessages;
}

/** One stream of `Watch`, from its first message to its status. */
export class WatchCall implements RegisteredStream {
  readonly #stream: StreamCall<WatchRequest>;
  readonly #options: Options;
  readonly #began: number;
  #started = false;
  #subscription: Subscription | undefined;
  /** The id of the latest sync requested before the subscription was open. */
  #askedEarly: bigint | undefined;
  /** A message is with the connection and has not been sent yet: the client reads slowly. */
  #isSending = false;
  /** The client has half-closed the stream. */
  #isHalfClosed = false;
  /** When the last message was handed to the connection, by the monotonic clock. */
  #sentAt: number;
  #cancelTick = () => {};

  constructor(call: ServerDuplexStream<WatchRequest, Buffer>, options: Options) {
    this.#options = options;
    this.#began = this.#sentAt = options.clock.monotonic();
    this.#stream = new StreamCall(call, {
      ...options,
      quiet: false,
      receive: (request) => this.#receive(request),
      onDone: () => this.#halfClose(),
      onEnded: () => {
        this.#cancelTick();
        this.#subscription?.close();
      },
    });
  }

  run(): void {
    this.#stream.run(() => this.#tick());
  }

  fail(error: unknown): void {
    this.#stream.fail(error);
  }

  judgeAgain(): void {
    this.#stream.attempt(() => this.#stream.judgeAgain());
  }

  drain(error: ServiceError): void {
    this.#stream.fail(error);
  }

  async #receive({ request }: WatchRequest): Promise<void> {
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
    // The token may have expired between the opening of the stream and this message.
    if (!this.#stream.isCurrent) await this.#stream.authenticate();
    const { feed } = this.#options;
    if (feed === undefined) throw NO_INDEX;
    const subscription = await feed.open(copy, this.#stream);
    if (this.#stream.gone) {
      subscription.close();
      return;
    }
    this.#subscription = subscription;
    subscription.onReady = () => this.#pump();
    if (this.#askedEarly !== undefined) subscription.sync(this.#askedEarly);
    this.#pump();
  }

  /** The client requests nothing more. The stream ends once all of its requests have been answered. */
  #halfClose(): void {
    this.#isHalfClosed = true;
    if (this.#started) this.#pump();
    else this.#stream.finish();
  }

  /**
   * Hands over the next message once the previous one has been sent. With one message at a time, a slow client delays no other client and
   * has at most one message buffered, and no message is written after grpc-js has ended the stream at its deadline.
   */
  readonly #pump = (): void => {
    this.#stream.attempt(() => {
      if (this.#isSending || this.#stream.isLate) return;
      const delivery = this.#subscription?.next();
      if (delivery !== undefined) this.#send(this.#options.messages.encode(delivery));
      else if (this.#isHalfClosed && this.#subscription?.isSettled === true) this.#stream.finish();
    });
  };

  #send(message: Buffer): void {
    this.#isSending = true;
    this.#sentAt = this.#options.clock.monotonic();
    this.#stream.send(message, () => {
      this.#isSending = false;
      this.#pump();
    });
  }

  /**
   * Sends a heartbeat if no other message was sent, and ends the stream of a client that reads nothing or whose token has been blacklisted.
   */
  #tick(): void {
    const { clock, feed, messages } = this.#options;
    this.#cancelTick = clock.schedule(WATCH_HEARTBEAT_MS, () => {
      this.#stream.attempt(() => {
        const now = clock.monotonic();
        if (this.#isSending && now - this.#sentAt >= MAX_STREAM_STALL_MS) {
          throw new ServiceError("OVERLOADED", "the stream leaves everything unread");
        }
        if (!this.#started && now - this.#began >= DEFAULT_DEADLINE_MS) {
          throw new ServiceError("DEADLINE_EXCEEDED", `start has not come within ${DEFAULT_DEADLINE_MS} ms`);
        }
        if (this.#subscription !== undefined) feed?.judge(this.#stream);
        if (!this.#isSending && now - this.#sentAt >= WATCH_HEARTBEAT_MS) this.#send(messages.heartbeat());
        this.#tick();
      });
    });
  }
}
