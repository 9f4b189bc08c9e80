import type { ServerDuplexStream } from "@grpc/grpc-js";
import { TokenBlacklist, type WatchRequest } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { checkIncreasing, type Subscription } from "../blacklist/subscription.ts";
import { NO_INDEX } from "../blacklist/unavailability.ts";
import type { WatchHub } from "../blacklist/watch-hub.ts";
import { invalidRequest, ServiceError } from "../errors.ts";
import { DEFAULT_DEADLINE_MS, MAX_WATCHES, WATCH_HEARTBEAT_MS } from "../limits.ts";
import { authenticatedMethod } from "./authenticated-service.ts";
import { TOKEN_BLACKLIST_RULES } from "./methods.ts";
import { StreamCall, type StreamMethod, type StreamSetup } from "./stream-call.ts";
import { StreamRegistry, type StreamSlot } from "./stream-registry.ts";
import { readStart, WatchMessages } from "./watch-messages.ts";

/** The streams of `Watch`, fed by `watchHub`. Without `watchHub`, every stream fails with NOT_FRESH. */
export function openWatches(
  watchHub: WatchHub | undefined,
  { environment, disconnect, ...limits }: StreamSetup,
): StreamRegistry<WatchRequest, WatchCall> {
  const messages = new WatchMessages(() => (watchHub ?? environment.clock).now());
  const { watch } = TokenBlacklist.method;
  const method = { ...authenticatedMethod(watch, TOKEN_BLACKLIST_RULES.watch, environment), disconnect };
  return new StreamRegistry({
    maxOpen: MAX_WATCHES,
    ...limits,
    method,
    createStream: (call, slot) => new WatchCall(call, { method, watchHub, messages, slot }),
  });
}

interface Options {
  readonly method: StreamMethod;
  readonly watchHub: WatchHub | undefined;
  readonly messages: WatchMessages;
  readonly slot: StreamSlot;
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
  /** The id of the latest sync that the client requested before the subscription was open; undefined if it requested none. */
  #earlySync: bigint | undefined;
  #isHalfClosed = false;
  /** When the last message was written, or else when the stream was opened, by the monotonic clock. */
  #sentAt: number;

  constructor(call: ServerDuplexStream<WatchRequest, Buffer>, { method, watchHub, messages, slot }: Options) {
    super(call, method, slot);
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
    // Between the opening of the stream and this message, the token may have expired, or keys or roles may have changed.
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
   * Writes the next message once the previous message has been sent. A slow client thus has at most one message buffered. Nothing is written
   * after the deadline, at which grpc-js ends the stream.
   */
  #pump(): void {
    this.attempt(() => {
      if (this.isSending || this.isPastDeadline) return;
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
   * Ends the stream if its client has not sent `start` in time, or if the client's token has been blacklisted. Otherwise sends a heartbeat if no
   * message has been sent for WATCH_HEARTBEAT_MS.
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
