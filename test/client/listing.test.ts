import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { expect } from "chai";
import { ListResponseSchema } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { listing } from "../../src/client/listing.ts";
import { MAX_PAGE_TOKEN_BYTES } from "../../src/limits.ts";

/** Reads a listing with these next page tokens, which then start over. */
async function read(tokens: readonly string[]): Promise<{ pages: number; entries: number; error: unknown }> {
  let pages = 0;
  let entries = 0;
  try {
    const listed = listing({}, async () =>
      create(ListResponseSchema, {
        tokens: [{ jti: `jti-${pages}`, expiresAt: timestampFromMs(1), createdAt: timestampFromMs(1) }],
        nextPageToken: tokens[pages++ % tokens.length] as string,
      }),
    );
    for await (const _ of listed) if (++entries > 100) throw new Error("there is no end");
    return { pages, entries, error: undefined };
  } catch (error) {
    return { pages, entries, error };
  }
}

describe("a listing", () => {
  it("ends if a page token is repeated, at once or after others", async () => {
    for (const tokens of [["a"], ["a", "b"], ["a", "b", "c"]]) {
      const { pages, error } = await read(tokens);
      expect(error).to.include({ code: "INTERNAL", reason: "MALFORMED_ANSWER" });
      expect(error).to.have.property("message").that.includes("for the second time");
      expect(pages).to.equal(tokens.length + 1);
    }
  });

  it("ends at a page token that is too long, and accepts those of a service that follows its contract", async () => {
    const { error } = await read(["x".repeat(MAX_PAGE_TOKEN_BYTES + 1)]);
    expect(error).to.include({ code: "INTERNAL", reason: "MALFORMED_ANSWER" });
    const fine = await read(["a", "b", "x".repeat(MAX_PAGE_TOKEN_BYTES), ""]);
    expect(fine).to.deep.equal({ pages: 4, entries: 4, error: undefined });
  });
});
