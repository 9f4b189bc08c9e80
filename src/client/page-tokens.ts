import { createHash } from "node:crypto";
import { MAX_PAGE_TOKEN_BYTES } from "../limits.ts";
import { malformedAnswer } from "./client-error.ts";

/**
 * The page tokens of one listing. If the service sends a token twice, the listing would never end and return the same entries again
 * and again. A digest of each token is kept: about a hundred bytes per page.
 */
export class PageTokens {
  readonly #seen = new Set<string>();

  /** `first` is the token of the first request: empty, or where an earlier listing ended. */
  constructor(first = "") {
    this.#seen.add(digestOf(first));
  }

  /** Returns `token`, which names the next page. Throws if it cannot be a token of the next page. */
  next(token: string): string {
    if (token === "") return token;
    if (Buffer.byteLength(token) > MAX_PAGE_TOKEN_BYTES)
      throw malformedAnswer(`the service sent a page token of more than ${MAX_PAGE_TOKEN_BYTES} bytes`);
    const digest = digestOf(token);
    if (this.#seen.has(digest))
      throw malformedAnswer("the service sent a page token for the second time: the listing would never end");
    this.#seen.add(digest);
    return token;
  }
}

function digestOf(token: string): string {
  return createHash("sha256").update(token).digest("base64");
}
