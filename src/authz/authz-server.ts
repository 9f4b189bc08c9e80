import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Logger } from "pino";
import type { Admission } from "../admission/admission.ts";
import type { Caller } from "../caller.ts";
import { type Connections, peerName } from "../connections/connections.ts";
import type { HostPort } from "../connections/host-port.ts";
import { destroyUnread, type HttpListener, listenHttp, pathOf } from "../connections/http-listener.ts";
import type { Decision } from "../decision.ts";
import {
  AUTHZ_KEEP_ALIVE_MS,
  AUTHZ_REQUEST_MS,
  DEFAULT_DEADLINE_MS,
  MAX_AUTHZ_BODY_BYTES,
  MAX_AUTHZ_HEADER_BYTES,
  MAX_AUTHZ_UNANSWERED,
} from "../limits.ts";
import type { LogSampling } from "../logging/log-sampling.ts";
import type { Metrics } from "../metrics/metrics.ts";
import type { Clock } from "../time/clock.ts";
import { endRequest, type RequestSpans } from "../tracing/request-spans.ts";
import { DENIALS } from "./denial.ts";
import { presentedCredentials, type TrustedHeaders } from "./presented-credentials.ts";
import type { TokenAuthorizer } from "./token-authorizer.ts";

/** How long a response waits for the body that the request's headers announce: some proxies do not send it. */
export const AUTHZ_BODY_MS = 100;

/** The served path, with all paths below it, since proxies append the path of the client's request. */
export const AUTHZ_PATH = "/authz";

export interface AuthzSetup {
  readonly authorizer: TokenAuthorizer;
  readonly trusted: TrustedHeaders;
  /** Shared with gRPC: its calls and these requests count towards one bound, and the drain waits for both. */
  readonly admission: Admission;
  readonly clock: Clock;
  readonly connections: Connections;
  readonly log: Logger;
  /** Samples the lines about requests that cannot be decided. */
  readonly logSampling: LogSampling;
  readonly metrics: Metrics;
  /** Undefined if tracing is off. */
  readonly spans: RequestSpans | undefined;
}

/**
 * The HTTP server for proxies that ask about a request before they forward it. Answers `/authz` and all paths below it, with any method and
 * query, with 204 (forward it), 401 or 503. Does not authenticate its callers. Close it only after `admission` has drained, when all
 * requests are answered. Throws StartError if it cannot listen.
 */
export function startAuthzServer(address: HostPort, setup: AuthzSetup): Promise<HttpListener> {
  const options = {
    maxHeaderSize: MAX_AUTHZ_HEADER_BYTES,
    requestTimeout: AUTHZ_REQUEST_MS,
    headersTimeout: AUTHZ_REQUEST_MS,
    connectionsCheckingInterval: AUTHZ_REQUEST_MS / 5,
    keepAliveTimeout: AUTHZ_KEEP_ALIVE_MS,
  };
  /** The number of unanswered requests on each connection. */
  const unanswered = new WeakMap<Socket, number>();
  const onRequest: RequestListener = (request, response) => {
    const { socket } = request;
    const unansweredBefore = unanswered.get(socket) ?? 0;
    // A request costs far more than its bytes, and its answer is kept until the peer reads it.
    if (unansweredBefore >= MAX_AUTHZ_UNANSWERED) destroyUnread(socket);
    if (socket.destroyed) return;
    unanswered.set(socket, unansweredBefore + 1);
    response.once("close", () => unanswered.set(socket, (unanswered.get(socket) ?? 1) - 1));
    answer(request, response, setup);
  };
  const server = createServer(options, onRequest);
  // The proxy copies an Expect header from the client's request, to which Node.js would answer 417.
  server.on("checkExpectation", onRequest);
  // Unlimited, because Node.js hides headers beyond a limit, and a credential could be among them. Their total size is bounded.
  server.maxHeadersCount = 0;
  return listenHttp(server, address, { setting: "AUTHZ_ADDRESS", connections: setup.connections });
}

function answer(request: IncomingMessage, response: ServerResponse, setup: AuthzSetup): void {
  discardBody(request);
  const path = pathOf(request.url);
  if (path !== AUTHZ_PATH && !path.startsWith(`${AUTHZ_PATH}/`)) {
    if (announcesBody(request)) response.setHeader("connection", "close");
    response.writeHead(404, { "content-type": "text/plain; charset=utf-8" }).end(`${AUTHZ_PATH}\n`);
    return;
  }
  const { authorizer, admission, clock, trusted, spans } = setup;
  const began = clock.monotonic();
  const trace = spans?.begin(request);
  const peer = peerName(request.socket);
  let release = () => {};
  let ended = false;
  const end = (decision: Decision, reason?: string) => {
    if (ended) return;
    ended = true;
    afterBody(request, clock, (isComplete) => {
      release();
      write(response, decision, { isLast: reason === "DRAINING" || !isComplete });
      if (trace !== undefined) endRequest(trace, { status: response.statusCode, peer });
      report(decision, { ...setup, milliseconds: clock.monotonic() - began, peer, reason });
    });
  };

  const refusal = admission.enter({ peer });
  if (refusal !== undefined) {
    end("unknown", refusal);
    return;
  }
  const cancel = clock.schedule(DEFAULT_DEADLINE_MS, () => end("unknown", "DEADLINE_EXCEEDED"));
  release = () => {
    cancel();
    admission.leave();
  };
  const caller: Caller = {
    trace,
    get isGone() {
      return ended || request.socket.destroyed;
    },
  };
  try {
    const decision = authorizer.decide(presentedCredentials(request, trusted), caller);
    if (decision instanceof Promise) decision.then(end, () => end("unknown", "INTERNAL"));
    else end(decision);
  } catch {
    end("unknown", "INTERNAL");
  }
}

/** Reads and ignores the body, so that a proxy that sends a body does not wait. Destroys the request if the body is too long. */
function discardBody(request: IncomingMessage): void {
  let bytes = 0;
  request.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > MAX_AUTHZ_BODY_BYTES) request.destroy();
  });
  // Ignore aborted requests.
  request.on("error", () => {});
}

/**
 * Calls `then` when the body has arrived, or after AUTHZ_BODY_MS if it has not: a proxy may copy the headers that announce a body, but not
 * send the body. If `isComplete` is false, the connection must be closed: otherwise its next request would be read as the body, and a client
 * that chooses the announced length would choose where the request after that begins.
 */
function afterBody(request: IncomingMessage, clock: Clock, then: (isComplete: boolean) => void): void {
  if (request.complete || !announcesBody(request)) {
    then(true);
    return;
  }
  let isPending = true;
  const complete = () => {
    if (!isPending) return;
    isPending = false;
    cancel();
    then(request.complete);
  };
  const cancel = clock.schedule(AUTHZ_BODY_MS, complete);
  request.once("end", complete).once("close", complete);
}

function announcesBody({ headers }: IncomingMessage): boolean {
  return headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) !== 0;
}

/** Writes the response. With `isLast`, the connection is closed after it. */
function write(response: ServerResponse, decision: Decision, { isLast }: { isLast: boolean }): void {
  if (isLast) response.setHeader("connection", "close");
  if (decision === "pass") {
    response.writeHead(204, { "cache-control": "no-store" }).end();
    return;
  }
  const { status, headers, text } = DENIALS[decision];
  response.writeHead(status, { ...headers, "content-length": Buffer.byteLength(text) }).end(text);
}

interface Report extends AuthzSetup {
  readonly milliseconds: number;
  readonly peer: string;
  /** Why there is no decision; undefined if the authorizer has returned one, or has logged why it cannot. */
  readonly reason: string | undefined;
}

function report(decision: Decision, { log, logSampling, metrics, milliseconds, peer, reason }: Report): void {
  const code = decision === "pass" ? "OK" : decision === "unknown" ? "UNAVAILABLE" : "UNAUTHENTICATED";
  metrics.decisions.count("http", decision);
  metrics.decisions.time(milliseconds / 1000);
  // The authorizer has logged its own "unknown" decisions.
  const level = reason === undefined ? "debug" : "warn";
  if (!log.isLevelEnabled(level)) return;
  const fields = { method: "authz", code, ...(reason === undefined ? {} : { reason }) };
  const details = () => ({ duration_ms: Math.round(milliseconds * 1000) / 1000, peer });
  const write = (line: object) => log[level](line, "call");
  if (reason === undefined) write({ ...fields, ...details() });
  else logSampling.write(`call authz ${reason}`, { fields, details, write });
}
