import type { handleBidiStreamingCall } from "@grpc/grpc-js";
import { TokenBlacklist, type WatchRequest } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import type { Feed } from "../blacklist/feed.ts";
import { ServiceError } from "../errors.ts";
import type { MethodCalls } from "../metrics/call-metrics.ts";
import { methodDefinition } from "./service-definition.ts";
import type { CallEnvironment } from "./unary.ts";
import { WatchCall } from "./watch-call.ts";
import { WatchMessages } from "./watch-messages.ts";

/** The streams of `Watch`. */
export class Watches {
  readonly #feed: Feed | undefined;
  readonly #environment: CallEnvironment;
  readonly #messages: WatchMessages;
  readonly #count: MethodCalls;
  readonly #open = new Set<WatchCall>();

  /** Without a `feed` there is nothing to watch: every stream is NOT_FRESH. */
  constructor(feed: Feed | undefined, environment: CallEnvironment) {
    this.#feed = feed;
    this.#environment = environment;
    this.#count = environment.metrics.calls.of(methodDefinition(TokenBlacklist.method.watch));
    this.#messages = new WatchMessages(() => (feed ?? environment.clock).now());
  }

  /** What grpc-js calls for each stream. */
  readonly handle: handleBidiStreamingCall<WatchRequest, Buffer> = (call) => {
    const watch = new WatchCall(call, {
      ...this.#environment,
      feed: this.#feed,
      messages: this.#messages,
      count: this.#count,
      onEnd: () => this.#open.delete(watch),
    });
    this.#open.add(watch);
    watch.run();
  };

  /** Sends all of them to another replica. */
  drain(): void {
    for (const watch of [...this.#open]) {
      watch.fail(new ServiceError("DRAINING", "this replica is shutting down"));
    }
  }
}
