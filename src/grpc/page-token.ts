import { createHmac, timingSafeEqual } from "node:crypto";
import type { EntryKey, EpochMs } from "../entry.ts";
import { invalidRequest } from "../errors.ts";
import { MAX_PAGE_TOKEN_BYTES } from "../limits.ts";
import type { ListCursor, ListFilter } from "../store/store.ts";

/** The position at which the next page begins. */
export interface PagePosition {
  /** The time of the first page. On all pages, an entry that expires later counts as unexpired. */
  readonly asOf: EpochMs;
  /** The last entry of the previous page. */
  readonly after: ListCursor;
}

const MAC_BYTES = 16;

/**
 * Page tokens: a position, with a MAC over the position and the filter. The key is derived from the secret that all replicas share, so that each
 * replica accepts the page tokens of all replicas, and only replicas can create page tokens.
 */
export class PageTokens {
  readonly #key: Buffer;

  constructor(secret: Buffer) {
    this.#key = createHmac("sha256", secret).update("tokenblacklist page token 1").digest();
  }

  /** The token for a position in the list with this filter. */
  seal({ asOf, after }: PagePosition, filter: ListFilter): string {
    const payload = Buffer.from(JSON.stringify([asOf, after.createdAt, after.key]));
    return Buffer.concat([this.#mac(payload, filter), payload]).toString("base64url");
  }

  /** The position in a page token. Throws INVALID_REQUEST unless `seal` created the page token for the same filter. */
  open(token: string, filter: ListFilter): PagePosition {
    const bytes = token.length <= MAX_PAGE_TOKEN_BYTES ? Buffer.from(token, "base64url") : Buffer.alloc(0);
    const mac = bytes.subarray(0, MAC_BYTES);
    const payload = bytes.subarray(MAC_BYTES);
    // Decoding skips characters that are not base64url, so several texts decode to the same bytes. Only the canonical text is accepted.
    const canonical = bytes.toString("base64url") === token && mac.length === MAC_BYTES;
    if (!canonical || !timingSafeEqual(mac, this.#mac(payload, filter))) {
      throw invalidRequest([
        {
          field: "page_token",
          description: "must be an unaltered next_page_token of a List with the same filter",
        },
      ]);
    }
    const [asOf, createdAt, key] = JSON.parse(payload.toString()) as [EpochMs, EpochMs | null, EntryKey];
    return { asOf, after: { createdAt, key } };
  }

  #mac(payload: Buffer, filter: ListFilter): Buffer {
    const { includeExpired, createdAfter, createdBefore, revokedBy, keys } = filter;
    const text = JSON.stringify([includeExpired, createdAfter, createdBefore, revokedBy, keys]);
    return createHmac("sha256", this.#key)
      .update(`${Buffer.byteLength(text)}:${text}`)
      .update(payload)
      .digest()
      .subarray(0, MAC_BYTES);
  }
}
