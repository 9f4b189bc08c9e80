import { createHash } from "node:crypto";
import { MAX_PAGE_TOKEN_BYTES } from "../limits.ts";
import { malformedAnswer } from "./client-error.ts";

/**
 * The page tokens of one listing. A service that sends one for the second time would be asked for ever, and what it lists would be taken for
 * more and more entries. Of each a digest is kept: some hundred bytes for every page.
 */
export class PageTokens {
  readonly #seen = new Set<string>();

  /** `first` is what the first page is asked with: empty, or where an earlier listing ended. */
  constructor(first = "") {
    this.#seen.add(digestOf(first));
  }

  /** `token` came with a page and names the next one; returns it. Throws where it can be no token of the next page. */
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
