import { TokenBlacklist, type WatchRequest } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import type { WatchHub } from "../blacklist/watch-hub.ts";
import { MAX_WATCHES } from "../limits.ts";
import { methodDefinition } from "../protobuf/service-definition.ts";
import type { StreamEnvironment } from "./stream-call.ts";
import { StreamRegistry } from "./stream-registry.ts";
import type { CallEnvironment } from "./unary.ts";
import { WatchCall } from "./watch-call.ts";
import { WatchMessages } from "./watch-messages.ts";

interface Options extends CallEnvironment, Pick<StreamEnvironment, "cut"> {
  /** Maximum of open streams. */
  readonly most?: number;
  /** Maximum for one known caller. */
  readonly perCaller: number;
}

/** The streams of `Watch`. Without a `feed` there is nothing to watch, and every stream fails with NOT_FRESH. */
export function openWatches(
  feed: WatchHub | undefined,
  { most = MAX_WATCHES, perCaller, ...environment }: Options,
): StreamRegistry<WatchRequest, WatchCall> {
  const { clock, metrics, tracing } = environment;
  const messages = new WatchMessages(() => (feed ?? clock).now());
  const { method } = TokenBlacklist;
  const definition = methodDefinition(method.watch);
  const common = {
    ...environment,
    feed,
    messages,
    method: method.watch.name,
    count: metrics.calls.of(definition),
    spans: tracing?.method(definition),
  };
  return new StreamRegistry({
    most,
    perCaller,
    open: (call, events) => new WatchCall(call, { ...common, ...events }),
  });
}
