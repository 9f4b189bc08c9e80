import { request as httpRequest, type OutgoingHttpHeaders } from "node:http";

export interface HttpAnswer {
  readonly status: number;
  /** In lower case; the date and what belongs to the connection left out. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

/** One request on a connection of its own. A header given as a list is sent as often as it has values. */
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
    /** The target, as it is sent; that of the URL unless given. */
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
