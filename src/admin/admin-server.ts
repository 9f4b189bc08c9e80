import { createServer, type ServerResponse } from "node:http";
import type { HostPort } from "../host-port.ts";
import { type HttpListener, listen } from "../http-listener.ts";
import type { Metrics } from "../metrics/metrics.ts";
import { pathOf } from "../request-path.ts";
import type { Serving } from "../serving.ts";

interface Known {
  readonly metrics: Metrics;
  serving(): Serving;
  /** What an operator should know beside; it does not change what is answered. */
  notes(): readonly string[];
}

/**
 * HTTP for probes and metrics: `/livez` (the process answers; never depends on the database), `/readyz` (200 while all calls
 * are answered, else 503, saying what still is) and `/metrics`, with any query. Holds no secrets. Throws StartError when it cannot listen.
 */
export function startAdminServer(
  address: HostPort,
  { metrics, serving, notes }: Known,
): Promise<HttpListener> {
  const server = createServer({ requestTimeout: 5000 }, (request, response) => {
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
        metrics.render().then(
          ({ contentType, text }) => reply(response, 200, text, contentType),
          () => reply(response, 500, "metrics cannot be rendered\n"),
        );
        return;
      default:
        return reply(response, 404, "GET /livez, /readyz or /metrics\n");
    }
  });
  return listen(server, address, { setting: "ADMIN_ADDRESS" });
}

const READINESS: Record<Serving, string> = {
  everything: "serving",
  positives: "serving known positives alone",
  nothing: "not serving",
};

function reply(
  response: ServerResponse,
  code: number,
  text: string,
  contentType = "text/plain; charset=utf-8",
): void {
  response.writeHead(code, { "content-type": contentType }).end(text);
}
