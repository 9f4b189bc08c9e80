import { createServer, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { performance } from "node:perf_hooks";
import { setTimeout as delay } from "node:timers/promises";
import type { Connections } from "../connections/connections.ts";
import type { HostPort } from "../connections/host-port.ts";
import { destroyUnread, type HttpListener, listenHttp, pathOf } from "../connections/http-listener.ts";
import {
  ADMIN_KEEP_ALIVE_MS,
  ADMIN_REQUEST_MS,
  ADMIN_SOCKET_MS,
  MAX_ADMIN_HEADER_BYTES,
  MAX_ADMIN_REQUESTS,
  RENDERING_PAUSE_RATIO,
} from "../limits.ts";
import type { Metrics } from "../metrics/metrics.ts";
import type { Serving } from "../serving.ts";

interface AdminSetup {
  readonly connections: Connections;
  readonly metrics: Metrics;
  serving(): Serving;
  /** Further lines of `/readyz` for operators, such as about certificates. They have no effect on the status of the response. */
  notes(): readonly string[];
}

/**
 * The HTTP server for probes and metrics: `/livez` (200 while the process responds, independent of the database), `/readyz` (200 while everything
 * is served, else 503 with a text that tells what is still served) and `/metrics`. Ignores queries and exposes no secrets. Throws StartError if
 * it cannot listen.
 */
export function startAdminServer(
  address: HostPort,
  { connections, metrics, serving, notes }: AdminSetup,
): Promise<HttpListener> {
  const options = {
    maxHeaderSize: MAX_ADMIN_HEADER_BYTES,
    requestTimeout: ADMIN_REQUEST_MS,
    headersTimeout: ADMIN_REQUEST_MS,
    connectionsCheckingInterval: ADMIN_REQUEST_MS / 5,
    keepAliveTimeout: ADMIN_KEEP_ALIVE_MS,
  };
  const answering = new WeakSet<Socket>();
  const rendered = sharedRendering(async () => {
    const { contentType, text } = await metrics.render();
    return { contentType, bytes: Buffer.from(text) };
  });
  const server = createServer(options, (request, response) => {
    const { socket } = request;
    // One request at a time: a thousand pipelined requests have a few kilobytes, and would all be answered at once.
    if (answering.has(socket)) {
      destroyUnread(socket);
      return;
    }
    answering.add(socket);
    response.once("close", () => answering.delete(socket));
    switch (request.method === "GET" || request.method === "HEAD" ? pathOf(request.url) : undefined) {
      case "/livez":
        return reply(response, 200, "alive\n");
      case "/readyz":
        return reply(
          response,
          serving() === "everything" ? 200 : 503,
          [READINESS[serving()], ...notes()].map((line) => `${line}\n`).join(""),
        );
      case "/metrics":
        rendered().then(
          ({ contentType, bytes }) => reply(response, 200, bytes, contentType),
          () => reply(response, 500, "metrics cannot be rendered\n"),
        );
        return;
      default:
        return reply(response, 404, "GET /livez, /readyz or /metrics\n");
    }
  });
  server.maxRequestsPerSocket = MAX_ADMIN_REQUESTS;
  // Closes connections whose peers do not read their responses.
  server.setTimeout(ADMIN_SOCKET_MS);
  return listenHttp(server, address, { setting: "ADMIN_ADDRESS", connections });
}

const READINESS: Record<Serving, string> = {
  everything: "serving",
  positives: "serving known positives only",
  nothing: "not serving",
};

function reply(
  response: ServerResponse,
  code: number,
  text: string | Buffer,
  contentType = "text/plain; charset=utf-8",
): void {
  response.writeHead(code, { "content-type": contentType }).end(text);
}

/**
 * Coalesces renderings: callers share the next rendering, which begins after their calls. Each rendering is followed by a pause of
 * RENDERING_PAUSE_RATIO times its duration, so that rendering uses a bounded share of the processor for any number of callers.
 */
export function sharedRendering<T>(render: () => Promise<T>): () => Promise<T> {
  let next: Promise<T> | undefined;
  let latest: Promise<unknown> = Promise.resolve();
  let notBefore = 0;
  const renderNext = async (before: Promise<unknown>): Promise<T> => {
    await before.catch(() => {});
    // Timers count whole milliseconds and may fire early.
    for (let restMs = notBefore - performance.now(); restMs > 0; restMs = notBefore - performance.now())
      await delay(Math.ceil(restMs));
    next = undefined;
    const began = performance.now();
    try {
      return await render();
    } finally {
      const ended = performance.now();
      notBefore = ended + RENDERING_PAUSE_RATIO * (ended - began);
    }
  };
  return () => {
    if (next === undefined) {
      next = renderNext(latest);
      latest = next;
    }
    return next;
  };
}
