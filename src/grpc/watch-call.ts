import type { ServerDuplexStream } from "@grpc/grpc-js";
import { TokenBlacklist, type WatchRequest } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { checkIncreasing, type Subscription } from "../blacklist/subscription.ts";
import { NO_INDEX } from "../blacklist/unavailability.ts";
import type { WatchHub } from "../blacklist/watch-hub.ts";
import { invalidRequest, ServiceError } from "../errors.ts";
import { DEFAULT_DEADLINE_MS, MAX_WATCHES, WATCH_HEARTBEAT_MS } from "../limits.ts";
import { authenticatedMethod } from "./authenticated-service.ts";
import { TOKEN_BLACKLIST } from "./methods.ts";
import { StreamCall, type StreamMethod, type StreamSetup } from "./stream-call.ts";
import { type StreamPlace, StreamRegistry } from "./stream-registry.ts";
import { readStart, WatchMessages } from "./watch-messages.ts";

/** The streams of `Watch`, fed by `watchHub`. If it is undefined, every stream fails with NOT_FRESH. */
export function openWatches(
  watchHub: WatchHub | undefined,
  { environment, disconnect, ...limits }: StreamSetup,
): StreamRegistry<WatchRequest, WatchCall> {
  const messages = new WatchMessages(() => (watchHub ?? environment.clock).now());
  const { watch } = TokenBlacklist.method;
  const method = { ...authenticatedMethod(watch, TOKEN_BLACKLIST.watch, environment), disconnect };
  return new StreamRegistry({
    maxOpen: MAX_WATCHES,
    ...limits,
    method,
    open: (call, place) => new WatchCall(call, { method, watchHub, messages, place }),
  });
}

interface Options {
  readonly method: StreamMethod;
  readonly watchHub: WatchHub | undefined;
  readonly messages: WatchMessages;
  readonly place: StreamPlace;
}

/** One stream of `Watch`. */
class WatchCall extends StreamCall<WatchRequest> {
  readonly #watchHub: WatchHub | undefined;
  readonly #messages: WatchMessages;
  /** When the stream was opened, by the monotonic clock. */
  readonly #openedAt: number;
  /** Whether the client has sent its first message. */
  #hasStarted = false;
  #subscription: Subscription | undefined;
  /** The id of the latest sync that the client requested before the subscription was open; undefined if there was none. */
  #earlySync: bigint | undefined;
  #isHalfClosed = false;
  /** When the last message was handed to the connection, by the monotonic clock; at first, when the stream was opened. */
  #sentAt: number;

  constructor(
    call: ServerDuplexStream<WatchRequest, Buffer>,
    { method, watchHub, messages, place }: Options,
  ) {
    super(call, method, place);
    this.#watchHub = watchHub;
    this.#messages = messages;
    this.#openedAt = this.#sentAt = method.clock.monotonic();
  }

  drain(error: ServiceError): void {
    this.fail(error);
  }

  protected override async receive({ request }: WatchRequest): Promise<void> {
    if (request.case === "sync" && this.#hasStarted) {
      if (this.#subscription !== undefined) this.#subscription.sync(request.value.id);
      else this.#earlySync = checkIncreasing(request.value.id, this.#earlySync ?? 0n);
      return;
    }
    if (request.case !== "start" || this.#hasStarted) {
      throw invalidRequest([
        { field: "request", description: "must be start in the first message, and sync later" },
      ]);
    }
    this.#hasStarted = true;
    const copyState = readStart(request.value);
    // The token may have expired between the opening of the stream and this message.
    if (!this.isAuthenticated && !(await this.authenticate())) return;
    if (this.#watchHub === undefined) throw NO_INDEX;
    const subscription = await this.#watchHub.open(copyState, this);
    if (this.isGone) {
      subscription.close();
      return;
    }
    this.#subscription = subscription;
    subscription.onReady = () => this.#pump();
    if (this.#earlySync !== undefined) subscription.sync(this.#earlySync);
    this.#pump();
  }

  /** Ends the stream once all syncs that the client has requested are answered. */
  protected override halfClosed(): void {
    this.#isHalfClosed = true;
    if (this.#hasStarted) this.#pump();
    else this.finish();
  }

  protected override release(): void {
    super.release();
    this.#subscription?.close();
  }

  /**
   * Hands over the next message once the previous one has been sent. With one message at a time, a slow client delays no other client and
   * has at most one message buffered, and no message is written after grpc-js has ended the stream at its deadline.
   */
  #pump(): void {
    this.attempt(() => {
      if (this.isSending || this.isLate) return;
      const delivery = this.#subscription?.next();
      if (delivery !== undefined) this.#deliver(this.#messages.encode(delivery));
      else if (this.#isHalfClosed && this.#subscription?.isSettled === true) this.finish();
    });
  }

  #deliver(message: Buffer): void {
    this.#sentAt = this.method.clock.monotonic();
    this.send(message, () => this.#pump());
  }

  /**
   * Ends the stream if its client does not send `start` or has a token that has been blacklisted. Otherwise sends a heartbeat if no other
   * message was sent.
   */
  protected override tick(): void {
    const now = this.method.clock.monotonic();
    if (!this.#hasStarted && now - this.#openedAt >= DEFAULT_DEADLINE_MS) {
      throw new ServiceError("DEADLINE_EXCEEDED", `start has not come within ${DEFAULT_DEADLINE_MS} ms`);
    }
    if (this.#subscription !== undefined) this.#watchHub?.rejectIfRevoked(this);
    if (!this.isSending && now - this.#sentAt >= WATCH_HEARTBEAT_MS)
      this.#deliver(this.#messages.heartbeat());
  }
}
