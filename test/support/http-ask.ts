import { request as httpRequest, type OutgoingHttpHeaders } from "node:http";

export interface HttpAnswer {
  readonly status: number;
  /** In lower case, without the date and connection headers. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

/** Sends one request on its own connection. A header with a list of values is sent once per value. */
export function ask(
  url: string,
  {
    headers = {},
    method = "GET",
    body,
    path,
  }: {
    headers?: OutgoingHttpHeaders;
    method?: string;
    body?: Buffer;
    /** The request target, sent unchanged; default: that of the URL. */
    path?: string;
  } = {},
): Promise<HttpAnswer> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(url, { method, headers, agent: false, ...(path && { path }) }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (chunk: string) => {
        text += chunk;
      });
      response.once("error", reject).once("end", () => {
        const { date: _, connection: __, "keep-alive": ___, ...rest } = response.headers;
        resolve({ status: response.statusCode ?? 0, headers: rest, body: text });
      });
    });
    request.once("error", reject).end(body);
  });
}
