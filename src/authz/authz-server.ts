import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Logger } from "pino";
import type { Gate, Ruling } from "../blacklist/gate.ts";
import type { Caller } from "../caller.ts";
import type { Calls } from "../calls.ts";
import type { Clock } from "../clock.ts";
import type { Connections } from "../connections.ts";
import type { HostPort } from "../host-port.ts";
import { cut, type HttpListener, listen } from "../http-listener.ts";
import {
  AUTHZ_BODY_MS,
  AUTHZ_KEEP_ALIVE_MS,
  AUTHZ_REQUEST_MS,
  DEFAULT_DEADLINE_MS,
  MAX_AUTHZ_AHEAD,
  MAX_AUTHZ_BODY_BYTES,
  MAX_AUTHZ_HEADER_BYTES,
} from "../limits.ts";
import type { LogSampling } from "../log-sampling.ts";
import type { Metrics } from "../metrics/metrics.ts";
import { pathOf } from "../request-path.ts";
import { endRequest, type RequestSpans } from "../tracing/request-spans.ts";
import { denialOf } from "./denial.ts";
import { shownIn, type TrustedHeaders } from "./shown-in.ts";

/** The one path that is answered, and all below it: proxies append a request's own path. */
export const AUTHZ_PATH = "/authz";

interface Setup {
  readonly gate: Gate;
  readonly trusted: TrustedHeaders;
  /** What is asked here counts as a call among those of gRPC: one bound for both, and one drain. */
  readonly calls: Calls;
  readonly clock: Clock;
  readonly connections: Connections;
  readonly log: Logger;
  /** Which lines about questions that cannot be answered are written. */
  readonly sampling: LogSampling;
  readonly metrics: Metrics;
  /** What makes spans of requests; absent where nobody takes any. */
  readonly spans: RequestSpans | undefined;
}

/**
 * HTTP for proxies that ask about a request before they pass it on: `/authz` and what is below it, by any method and with any query, is
 * answered 204 (it may pass), 401 or 503. It knows no callers. What was asked has been answered once `calls` are drained: only then is it to be closed. Throws StartError
 * when it cannot listen.
 */
export function startAuthzServer(address: HostPort, setup: Setup): Promise<HttpListener> {
  const options = {
    maxHeaderSize: MAX_AUTHZ_HEADER_BYTES,
    requestTimeout: AUTHZ_REQUEST_MS,
    headersTimeout: AUTHZ_REQUEST_MS,
    connectionsCheckingInterval: AUTHZ_REQUEST_MS / 5,
    keepAliveTimeout: AUTHZ_KEEP_ALIVE_MS,
  };
  const ahead = new WeakMap<Socket, number>();
  const answered: RequestListener = (request, response) => {
    const { socket } = request;
    const others = ahead.get(socket) ?? 0;
    // Each costs far more than the bytes that ask it, and its answer is kept for as long as nobody reads.
    if (others >= MAX_AUTHZ_AHEAD) cut(socket);
    if (socket.destroyed) return;
    ahead.set(socket, others + 1);
    response.once("close", () => ahead.set(socket, (ahead.get(socket) ?? 1) - 1));
    answer(request, response, setup);
  };
  const server = createServer(options, answered);
  // What the request's client expects is no business of a question about it. Node would answer 417.
  server.on("checkExpectation", answered);
  // Past a number of headers Node hides the rest, and a credential could be among them. Their size is bounded.
  server.maxHeadersCount = 0;
  return listen(server, address, { setting: "AUTHZ_ADDRESS", connections: setup.connections });
}

function answer(request: IncomingMessage, response: ServerResponse, setup: Setup): void {
  discardBody(request);
  const path = pathOf(request.url);
  if (path !== AUTHZ_PATH && !path.startsWith(`${AUTHZ_PATH}/`)) {
    if (announcesBody(request)) response.setHeader("connection", "close");
    response.writeHead(404, { "content-type": "text/plain; charset=utf-8" }).end(`${AUTHZ_PATH}\n`);
    return;
  }
  const { gate, calls, clock, trusted, spans } = setup;
  const began = clock.monotonic();
  const trace = spans?.begin(request);
  const peer = `${request.socket.remoteAddress}:${request.socket.remotePort}`;
  let letGo = () => {};
  let ended = false;
  const end = (ruling: Ruling, reason?: string) => {
    if (ended) return;
    ended = true;
    afterBody(request, clock, (isComplete) => {
      letGo();
      write(response, ruling, { isLast: reason === "DRAINING" || !isComplete });
      if (trace !== undefined) endRequest(trace, { status: response.statusCode, peer });
      report(ruling, { ...setup, milliseconds: clock.monotonic() - began, peer, reason });
    });
  };

  const refusal = calls.enter(() => peer);
  if (refusal !== undefined) {
    end("unknown", refusal);
    return;
  }
  const cancel = clock.schedule(DEFAULT_DEADLINE_MS, () => end("unknown", "DEADLINE_EXCEEDED"));
  letGo = () => {
    cancel();
    calls.leave();
  };
  const caller: Caller = {
    trace,
    get gone() {
      return ended || request.socket.destroyed;
    },
  };
  try {
    const ruling = gate.rule(shownIn(request, trusted), caller);
    if (ruling instanceof Promise) ruling.then(end, () => end("unknown", "INTERNAL"));
    else end(ruling);
  } catch {
    end("unknown", "INTERNAL");
  }
}

/** Nothing in it is of interest, and a proxy that sends it all the same should not wait for long. */
function discardBody(request: IncomingMessage): void {
  let bytes = 0;
  request.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > MAX_AUTHZ_BODY_BYTES) request.destroy();
  });
  // Whoever hangs up in the middle is no concern of anybody's.
  request.on("error", () => {});
}

/**
 * Calls `then` when the body has arrived, or soon where it does not: a proxy may copy the headers that announce one, and not send it.
 * Then the connection has to end, or the next question on it would be taken for that body, and a client that chooses a length would
 * choose what is read as the next question.
 */
function afterBody(request: IncomingMessage, clock: Clock, then: (isComplete: boolean) => void): void {
  if (request.complete || !announcesBody(request)) {
    then(true);
    return;
  }
  let waits = true;
  const conclude = () => {
    if (!waits) return;
    waits = false;
    cancel();
    then(request.complete);
  };
  const cancel = clock.schedule(AUTHZ_BODY_MS, conclude);
  request.once("end", conclude).once("close", conclude);
}

function announcesBody({ headers }: IncomingMessage): boolean {
  return headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) !== 0;
}

function write(response: ServerResponse, ruling: Ruling, { isLast }: { isLast: boolean }): void {
  if (isLast) response.setHeader("connection", "close");
  if (ruling === "pass") {
    response.writeHead(204, { "cache-control": "no-store" }).end();
    return;
  }
  const { status, headers, text } = denialOf(ruling);
  response.writeHead(status, { ...headers, "content-length": Buffer.byteLength(text) }).end(text);
}

interface Report extends Setup {
  readonly milliseconds: number;
  readonly peer: string;
  readonly reason: string | undefined;
}

function report(ruling: Ruling, { log, sampling, metrics, milliseconds, peer, reason }: Report): void {
  const code = ruling === "pass" ? "OK" : ruling === "unknown" ? "UNAVAILABLE" : "UNAUTHENTICATED";
  metrics.rulings.count("http", ruling);
  metrics.rulings.time(milliseconds / 1000);
  // Why it cannot be told has been logged already, unless the reason is one of this file's.
  const level = reason === undefined ? "debug" : "warn";
  if (!log.isLevelEnabled(level)) return;
  const kind = { method: "authz", code, ...(reason === undefined ? {} : { reason }) };
  const sampled =
    reason === undefined
      ? {}
      : sampling.admit(`call authz ${reason}`, (left) => log[level]({ ...kind, ...left }, "call"));
  if (sampled === undefined) return;
  log[level](
    {
      ...kind,
      duration_ms: Math.round(milliseconds * 1000) / 1000,
      peer,
      ...sampled,
    },
    "call",
  );
}
