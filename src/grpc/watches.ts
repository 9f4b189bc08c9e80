import type { handleBidiStreamingCall } from "@grpc/grpc-js";
import { TokenBlacklist, type WatchRequest } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import type { Feed } from "../blacklist/feed.ts";
import { ServiceError } from "../errors.ts";
import { MAX_WATCHES } from "../limits.ts";
import type { MethodCalls } from "../metrics/call-metrics.ts";
import type { MethodSpans } from "../tracing/method-spans.ts";
import { methodDefinition } from "./service-definition.ts";
import type { CallEnvironment } from "./unary.ts";
import { WatchCall } from "./watch-call.ts";
import { WatchMessages } from "./watch-messages.ts";

interface Options extends CallEnvironment {
  /** Ends the connection of a peer. */
  readonly cut: (peer: string) => void;
  /** Streams at once. */
  readonly most?: number;
}

/** The streams of `Watch`. */
export class Watches {
  readonly #feed: Feed | undefined;
  readonly #options: Options;
  readonly #messages: WatchMessages;
  readonly #count: MethodCalls;
  readonly #spans: MethodSpans | undefined;
  /** Until the last byte of each has gone: only then is its memory free. */
  readonly #open = new Set<WatchCall>();

  /** Without a `feed` there is nothing to watch: every stream is NOT_FRESH. */
  constructor(feed: Feed | undefined, options: Options) {
    this.#feed = feed;
    this.#options = options;
    this.#messages = new WatchMessages(() => (feed ?? options.clock).now());
    const definition = methodDefinition(TokenBlacklist.method.watch);
    this.#count = options.metrics.calls.of(definition);
    this.#spans = options.tracing?.method(definition);
  }

  /** What grpc-js calls for each stream. */
  readonly handle: handleBidiStreamingCall<WatchRequest, Buffer> = (call) => {
    const watch = new WatchCall(call, {
      ...this.#options,
      feed: this.#feed,
      messages: this.#messages,
      count: this.#count,
      spans: this.#spans,
      onClosed: () => this.#open.delete(watch),
    });
    const isFull = this.#open.size >= (this.#options.most ?? MAX_WATCHES);
    this.#open.add(watch);
    if (isFull) watch.fail(new ServiceError("OVERLOADED", "too many copies are kept"));
    else watch.run();
  };

  /** Sends all of them to another replica. */
  drain(): void {
    for (const watch of this.#open) {
      watch.fail(new ServiceError("DRAINING", "this replica is shutting down"));
    }
  }
}
