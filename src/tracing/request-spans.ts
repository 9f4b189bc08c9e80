import type { TextMapGetter } from "@opentelemetry/api";
import { beginCall, type CallSpans, peerAttributes, type Tracing } from "./call-spans.ts";

type Headers = Readonly<Record<string, string | string[] | undefined>>;

const HEADERS_GETTER: TextMapGetter<Headers> = {
  get: (headers, key) => headers[key.toLowerCase()],
  keys: (headers) => Object.keys(headers),
};

/** The methods that OpenTelemetry's conventions for HTTP list. All other methods are recorded as `_OTHER`. */
const NAMED_METHODS = /^(?:CONNECT|DELETE|GET|HEAD|OPTIONS|PATCH|POST|PUT|QUERY|TRACE)$/;

/** Creates the spans of HTTP requests for one path, the `route`. Spans contain no headers: only the trace context is read from the headers. */
export class RequestSpans {
  readonly #route: string;
  readonly #tracing: Tracing;

  constructor(route: string, tracing: Tracing) {
    this.#route = route;
    this.#tracing = tracing;
  }

  /** Starts the span of a request; undefined if the span is not recorded. */
  begin({ method = "", headers }: { method?: string | undefined; headers: Headers }): CallSpans | undefined {
    const isKnown = NAMED_METHODS.test(method);
    return beginCall(this.#tracing, {
      name: `${isKnown ? method : "HTTP"} ${this.#route}`,
      attributes: {
        "http.request.method": isKnown ? method : "_OTHER",
        "http.route": this.#route,
        "url.path": this.#route,
        "url.scheme": "http",
      },
      carrier: headers,
      getter: HEADERS_GETTER,
    });
  }
}

/** Ends the spans of a request with the HTTP status of the response, and the peer as `host:port`. */
export function endRequest(spans: CallSpans, { status, peer }: { status: number; peer: string }): void {
  const attributes = { "http.response.status_code": status, ...peerAttributes(peer) };
  spans.end(attributes, status >= 500 ? String(status) : undefined);
}
