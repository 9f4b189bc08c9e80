import type { Server } from "@grpc/grpc-js";
import {
  MAX_CALL_HEADER_BYTES,
  MAX_CALL_HEADERS,
  MAX_INVALID_FRAMES,
  MAX_OUTSTANDING_ACKS,
  MAX_REJECTED_STREAMS,
  MAX_SETTINGS_PER_FRAME,
  MAX_UNAUTHENTICATED_STREAMS,
  STREAM_RESET_BURST,
  STREAM_RESETS_PER_SECOND,
} from "../limits.ts";
import { http2OptionsOf } from "./grpc-js-internals.ts";

/** Limits on an HTTP/2 peer, set explicitly so that they do not depend on the defaults of a Node.js version. */
const HTTP2_LIMITS = {
  settings: { maxConcurrentStreams: MAX_UNAUTHENTICATED_STREAMS, maxHeaderListSize: MAX_CALL_HEADER_BYTES },
  maxHeaderListPairs: MAX_CALL_HEADERS,
  maxOutstandingPings: MAX_OUTSTANDING_ACKS,
  maxOutstandingSettings: MAX_OUTSTANDING_ACKS,
  maxSettings: MAX_SETTINGS_PER_FRAME,
  maxSessionInvalidFrames: MAX_INVALID_FRAMES,
  maxSessionRejectedStreams: MAX_REJECTED_STREAMS,
  streamResetBurst: STREAM_RESET_BURST,
  streamResetRate: STREAM_RESETS_PER_SECOND,
};

/** Applies the limits to future listeners of `server`. To be called before it has any. */
export function limitHttp2(server: Server): void {
  Object.assign(http2OptionsOf(server), HTTP2_LIMITS);
}
