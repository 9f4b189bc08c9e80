import type { TextMapGetter } from "@opentelemetry/api";
import { beginCall, peerAttributes } from "./begin-call.ts";
import type { CallSpans, Parts } from "./call-spans.ts";

type Headers = Readonly<Record<string, string | string[] | undefined>>;

const HEADERS: TextMapGetter<Headers> = {
  get: (headers, key) => headers[key.toLowerCase()],
  keys: (headers) => Object.keys(headers),
};

/** The methods that OpenTelemetry's conventions for HTTP name. */
const METHODS: ReadonlySet<string> = new Set([
  "CONNECT",
  "DELETE",
  "GET",
  "HEAD",
  "OPTIONS",
  "PATCH",
  "POST",
  "PUT",
  "QUERY",
  "TRACE",
]);

/** Creates the spans of requests for one path. Of the headers, they use only the trace context. */
export class RequestSpans {
  readonly #route: string;
  readonly #parts: Parts;

  constructor(route: string, parts: Parts) {
    this.#route = route;
    this.#parts = parts;
  }

  /** Starts the span of a request; undefined if its trace is not recorded. */
  begin({ method = "", headers }: { method?: string | undefined; headers: Headers }): CallSpans | undefined {
    const isKnown = METHODS.has(method);
    return beginCall({
      ...this.#parts,
      name: `${isKnown ? method : "HTTP"} ${this.#route}`,
      attributes: {
        "http.request.method": isKnown ? method : "_OTHER",
        "http.route": this.#route,
        "url.path": this.#route,
        "url.scheme": "http",
      },
      carrier: headers,
      getter: HEADERS,
    });
  }
}

interface Ended {
  readonly status: number;
  /** The peer's address. */
  readonly peer: string;
}

/** Ends the spans of a request. */
export function endRequest(spans: CallSpans, { status, peer }: Ended): void {
  const attributes = { "http.response.status_code": status, ...peerAttributes(peer) };
  spans.end(attributes, status >= 500 ? String(status) : undefined);
}
