import { once } from "node:events";
import type { Http2Session } from "node:http2";
import { setTimeout as delay } from "node:timers/promises";
import { logVerbosity, Server, ServerCredentials, setLogVerbosity } from "@grpc/grpc-js";
import { Authorization } from "../../gen/envoy/service/auth/v3/external_auth_pb.js";
import { TokenBlacklist } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import type { CertificateAuthenticator } from "../auth/certificate-authenticator.ts";
import type { TokenAuthorizer } from "../authz/token-authorizer.ts";
import type { WatchHub } from "../blacklist/watch-hub.ts";
import type { Connections } from "../connections/connections.ts";
import type { HostPort } from "../connections/host-port.ts";
import {
  MAX_CALL_HEADER_BYTES,
  MAX_CALL_HEADERS,
  MAX_CONNECTION_AGE_MS,
  MAX_INVALID_FRAMES,
  MAX_OUTSTANDING_ACKS,
  MAX_REJECTED_STREAMS,
  MAX_REQUEST_BYTES,
  MAX_SETTINGS_PER_FRAME,
  MAX_UNAUTHENTICATED_STREAMS,
  STREAM_RESET_BURST,
  STREAM_RESETS_PER_SECOND,
} from "../limits.ts";
import type { Serving } from "../serving.ts";
import { amendHeaders } from "./amend-headers.ts";
import type { Handlers } from "./answered-call.ts";
import { addAuthenticatedService, type CallEnvironment } from "./authenticated-service.ts";
import { openCheckStreams } from "./check-call.ts";
import { addExtAuthz } from "./ext-authz.ts";
import { type FollowedConnection, followConnections } from "./follow-connections.ts";
import { http2OptionsOf } from "./grpc-js-internals.ts";
import { Health } from "./health.ts";
import { IncomingCalls } from "./incoming-call.ts";
import { listenGrpc } from "./listener.ts";
import { TOKEN_BLACKLIST_RULES } from "./methods.ts";
import { publicServices } from "./public-services.ts";
import { addReflection } from "./reflection.ts";
import type { TlsContext } from "./tls-context.ts";
import { openWatches } from "./watch-call.ts";

/** How long a call may still run on a connection that has reached {@link MAX_CONNECTION_AGE_MS}. */
const MAX_CONNECTION_AGE_GRACE_MS = 60_000;

const CHANNEL_OPTIONS = {
  "grpc.enable_channelz": 0,
  "grpc.max_receive_message_length": MAX_REQUEST_BYTES,
  "grpc.max_connection_age_ms": MAX_CONNECTION_AGE_MS,
  "grpc.max_connection_age_grace_ms": MAX_CONNECTION_AGE_GRACE_MS,
  // Detects within a minute and a half that a peer has vanished without closing its connection.
  "grpc.keepalive_time_ms": 60_000,
  "grpc.keepalive_timeout_ms": 20_000,
};

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

export interface GrpcServer {
  readonly address: HostPort;
  /** Number of open Watch streams of the health service. */
  readonly healthWatches: number;
  /** Sets what is served, as health checks report it. Before the first call, nothing is served. */
  setServing(serving: Serving): void;
  /**
   * Reports NOT_SERVING. After `noticeMs`, refuses new calls with UNAVAILABLE, completes the calls in flight, and lets the connections close.
   * Connections that are still open `timeoutMs` after the drain began are destroyed.
   */
  drain(times: { noticeMs: number; timeoutMs: number }): Promise<void>;
}

/** Starts the gRPC server, with `handlers` for its calls. Throws StartError if it cannot listen. */
export async function startGrpcServer(
  address: HostPort,
  {
    handlers,
    watchHub,
    environment,
    tls,
    certificateAuthenticator,
    reflection,
    streamsPerCaller,
    extAuthz,
  }: {
    handlers: Handlers<typeof TokenBlacklist>;
    /** The source of `Watch`; undefined if there is no index to stream from. */
    watchHub: WatchHub | undefined;
    environment: CallEnvironment & { readonly connections: Connections };
    tls: TlsContext | undefined;
    /** Undefined if clients are not asked for certificates. */
    certificateAuthenticator: CertificateAuthenticator | undefined;
    reflection: boolean;
    /** Maximum number of streams of Watch, and of StreamChecks, of one known caller. */
    streamsPerCaller: number;
    /** Decides Envoy's requests. Undefined: ext_authz is not served. */
    extAuthz: TokenAuthorizer | undefined;
  },
): Promise<GrpcServer> {
  // The lines that grpc-js writes to stderr are not JSON, and tell nothing that our own lines do not tell.
  setLogVerbosity(logVerbosity.NONE);
  const { clock, connections, metrics, logSampling } = environment;
  const followed = new WeakMap<Http2Session, FollowedConnection>();
  const incoming = new IncomingCalls({ clock, connectionOf: (session) => followed.get(session) });
  const server = new Server({ ...CHANNEL_OPTIONS, interceptors: [incoming.interceptor] });
  Object.assign(http2OptionsOf(server), HTTP2_LIMITS);
  const services = [TokenBlacklist, ...(extAuthz === undefined ? [] : [Authorization])];
  const disconnect = (peer: string) => listener.disconnect(peer);
  const names = services.map(({ typeName }) => typeName);
  const health = new Health({ ...environment, names, disconnect });
  const streaming = { environment, disconnect, maxPerCaller: streamsPerCaller };
  const watches = openWatches(watchHub, streaming);
  const checkStreams = openCheckStreams(handlers.isBlacklisted, streaming);
  addAuthenticatedService(server, TokenBlacklist, {
    rules: TOKEN_BLACKLIST_RULES,
    handlers,
    streams: { watch: watches, streamChecks: checkStreams },
    environment,
    incoming,
  });
  environment.callerValidity.onChange(() => {
    watches.reauthenticate();
    checkStreams.reauthenticate();
  });
  if (extAuthz !== undefined) addExtAuthz(server, { authorizer: extAuthz, environment, incoming });
  const shared = { callMetrics: metrics.calls, connections, clock, incoming, logSampling };
  const publicServer = publicServices(server, shared);
  health.addTo(publicServer);
  if (reflection) addReflection(publicServer, services);
  // grpc-js gets connections after TLS, which our own listener terminates.
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  // Before amendHeaders, whose listeners must see each call first.
  followConnections(server, {
    connections,
    followed,
    hasRoomFor: (path, caller) => incoming.hasRoomFor(path, caller),
  });
  amendHeaders(server);
  const listener = await listenGrpc(address, {
    ...environment,
    tls,
    certificateAuthenticator,
    onConnection: (socket) => injector.injectConnection(socket),
  });
  let draining = false;

  return {
    address: listener.address,
    get healthWatches() {
      return health.watches;
    },
    setServing: (serving) => health.set(draining ? "nothing" : serving),
    async drain({ noticeMs, timeoutMs }) {
      draining = true;
      health.set("nothing");
      const overdue = new AbortController();
      const timedOut = once(overdue.signal, "abort");
      const timer = setTimeout(() => overdue.abort(), timeoutMs);
      await delay(noticeMs);
      const disconnected = listener.stop();
      watches.drain();
      checkStreams.drain();
      // Sends GOAWAY to all clients. When tryShutdown calls back depends on the Node.js version, so wait for the connections instead.
      server.tryShutdown(() => {});
      await Promise.race([environment.admission.drain(), timedOut]);
      health.endWatches();
      await Promise.race([disconnected, timedOut]);
      // Without this, the drain would wait forever for a connection that the peer does not close, or for a call that never ends.
      if (overdue.signal.aborted) {
        server.forceShutdown();
        listener.disconnect();
      }
      await disconnected;
      clearTimeout(timer);
    },
  };
}
