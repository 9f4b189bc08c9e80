import { expect } from "chai";
import fc from "fast-check";
import type { EpochMs, Jti } from "../../src/entry.ts";
import type { ServiceError } from "../../src/errors.ts";
import { type PagePosition, PageTokens } from "../../src/grpc/page-token.ts";
import { MAX_PAGE_TOKEN_BYTES } from "../../src/limits.ts";
import type { ListFilter } from "../../src/store/store.ts";
import { thrownBy } from "../support/rejection.ts";
import { randomFor } from "../support/seed.ts";

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const ALL: ListFilter = {
  includeExpired: false,
  createdAfter: undefined,
  createdBefore: undefined,
  revokedBy: undefined,
  keys: undefined,
};
const POSITION: PagePosition = {
  asOf: Date.UTC(2030, 0, 1) as EpochMs,
  after: { createdAt: Date.UTC(2029, 0, 1) as EpochMs, key: "3f1c-é" as Jti },
};
const at = (ms: number) => ms as EpochMs;
const jtis = (...texts: string[]) => texts as Jti[];

describe("a page token", () => {
  const tokens = new PageTokens(Buffer.alloc(32, 1));
  const token = tokens.seal(POSITION, ALL);

  /** True if opening `text` was refused as it should be; any other error is rethrown. */
  function isRefused(text: string, filter = ALL): boolean {
    let opened: PagePosition;
    try {
      opened = tokens.open(text, filter);
    } catch (error) {
      if ((error as ServiceError).reason !== "INVALID_REQUEST") throw error;
      return true;
    }
    // Only a sealed token may ever be opened.
    expect(opened).to.deep.equal(POSITION);
    return false;
  }

  const somePosition = fc.record({
    asOf: fc.maxSafeNat().map(at),
    after: fc.record({
      createdAt: fc.option(fc.maxSafeInteger().map(at)),
      key: fc.string({ unit: "binary", minLength: 1, maxLength: 64 }).map((text) => text as Jti),
    }),
  });
  const someFilter = fc.record({
    includeExpired: fc.boolean(),
    createdAfter: fc.option(fc.maxSafeInteger().map(at), { nil: undefined }),
    createdBefore: fc.option(fc.maxSafeInteger().map(at), { nil: undefined }),
    revokedBy: fc.option(fc.string({ minLength: 1 }), { nil: undefined }),
    keys: fc.option(
      fc.array(
        fc.string().map((text) => text as Jti),
        { minLength: 1 },
      ),
      { nil: undefined },
    ),
  });

  it("is opened as sealed, by every replica with the same secret", () => {
    fc.assert(
      fc.property(
        somePosition,
        someFilter,
        fc.uint8Array({ minLength: 32, maxLength: 32 }),
        (position, filter, secret) => {
          const sealed = new PageTokens(Buffer.from(secret)).seal(position, filter);
          expect(sealed).to.match(/^[\w-]+$/);
          expect(new PageTokens(Buffer.from(secret)).open(sealed, filter)).to.deep.equal(position);
        },
      ),
    );
  });

  it("contains only the position of its entry", () => {
    const entry = { ...POSITION.after, expiresAt: at(1), reason: "c4n4ry", revokedBy: "c4n4ry" };
    expect(tokens.seal({ asOf: POSITION.asOf, after: entry }, ALL)).to.equal(token);
  });

  it("stays within its limit for every jti", () => {
    const worst = ["\u0001", "\u0080", "ａ", "\\", '"', "😀"].map((unit) => {
      const key = unit.repeat(Math.floor(255 / Buffer.byteLength(unit))) as Jti;
      const position = { asOf: at(253_402_300_799_999), after: { createdAt: at(253_402_300_799_999), key } };
      const sealed = tokens.seal(position, ALL);
      expect(tokens.open(sealed, ALL)).to.deep.equal(position);
      return sealed.length;
    });
    expect(Math.max(...worst)).to.be.at.most(MAX_PAGE_TOKEN_BYTES);
  });

  it("is refused with the name of the field and nothing of its content", () => {
    const { reason, violations } = thrownBy(() => tokens.open(`${token}A`, ALL)) as ServiceError;
    expect({ reason, violations }).to.deep.equal({
      reason: "INVALID_REQUEST",
      violations: [
        {
          field: "page_token",
          description: "must be an unaltered next_page_token of a List with the same filter",
        },
      ],
    });
  });

  const OTHERS: Record<string, ListFilter> = {
    "expired entries included": { ...ALL, includeExpired: true },
    "another created_after": { ...ALL, createdAfter: at(0) },
    "another created_before": { ...ALL, createdBefore: at(0) },
    "another revoked_by": { ...ALL, revokedBy: "auth" },
    "other jtis": { ...ALL, keys: jtis("a") },
  };
  for (const [what, filter] of Object.entries(OTHERS)) {
    it(`is refused with ${what}`, () => {
      expect([isRefused(token, filter), isRefused(token)]).to.deep.equal([true, false]);
    });
  }

  it("is refused with any other filter", () => {
    fc.assert(
      fc.property(someFilter, someFilter, (one, other) => {
        fc.pre(JSON.stringify(Object.entries(one)) !== JSON.stringify(Object.entries(other)));
        expect(isRefused(tokens.seal(POSITION, one), other)).to.equal(true);
      }),
    );
  });

  it("is bound to the jtis of the filter, not only to their concatenation", () => {
    const filters = [
      jtis("a", "b"),
      jtis("b", "a"),
      jtis("ab"),
      jtis("a,b"),
      jtis('a","b'),
      jtis("a", "b", ""),
    ];
    const sealed = filters.map((asked) => tokens.seal(POSITION, { ...ALL, keys: asked }));
    const refused = sealed.map((text) => filters.map((asked) => isRefused(text, { ...ALL, keys: asked })));
    expect(refused).to.deep.equal(filters.map((_, mine) => filters.map((_, other) => mine !== other)));
  });

  it("is refused by a deployment with another secret", () => {
    const other = new PageTokens(Buffer.alloc(32, 2));
    expect(isRefused(other.seal(POSITION, ALL))).to.equal(true);
  });

  it("is refused with any one character changed", () => {
    const opened: string[] = [];
    for (let index = 0; index < token.length; index++) {
      for (const char of ALPHABET) {
        const mutated = token.slice(0, index) + char + token.slice(index + 1);
        if (mutated !== token && !isRefused(mutated)) opened.push(mutated);
      }
    }
    expect(opened).to.deep.equal([]);
  });

  it("is refused when truncated or extended", () => {
    const texts = [...token].map((_, length) => token.slice(0, length));
    texts.push(`${token}A`, `A${token}`, token + token);
    expect(texts.filter((text) => !isRefused(text))).to.deep.equal([]);
  });

  it("is refused in any other encoding of the same bytes", () => {
    // Only some bits of the last character of an odd length count: different characters give the same bytes.
    const odd = ["a", "ab", "abc"].map((jti) =>
      tokens.seal({ ...POSITION, after: { ...POSITION.after, key: jti as Jti } }, ALL),
    );
    const spellings = odd.flatMap((text) => {
      const bytes = Buffer.from(text, "base64url").toString("hex");
      const variants = [...ALPHABET].map((char) => text.slice(0, -1) + char);
      return [
        ...variants.filter(
          (other) => other !== text && Buffer.from(other, "base64url").toString("hex") === bytes,
        ),
        Buffer.from(text, "base64url").toString("base64").concat(" "),
        ...["=", "==", "\n", " ", "!"].flatMap((extra) => [
          text + extra,
          extra + text,
          text.slice(0, 9) + extra + text.slice(9),
        ]),
      ];
    });
    expect(spellings.length).to.be.greaterThan(50);
    expect(spellings.filter((text) => !isRefused(text))).to.deep.equal([]);
  });

  it("is refused when too long, or not a token at all", () => {
    const texts = [
      "A".repeat(MAX_PAGE_TOKEN_BYTES),
      "A".repeat(MAX_PAGE_TOKEN_BYTES + 1),
      token.padEnd(4_000_000, "A"),
      "",
      "A",
      "é",
      "\uD800",
      "\0",
      "null",
      "[]",
    ];
    expect(texts.filter((text) => !isRefused(text))).to.deep.equal([]);
  });

  it("is refused after 100,000 random mutations, always with the same error", () => {
    const random = randomFor("page token mutations");
    const pick = (below: number) => Math.floor(random() * below);
    let opened = 0;
    for (let round = 0; round < 100_000; round++) {
      const chars = [...token];
      for (let changes = 1 + pick(4); changes > 0; changes--) {
        const char = random() < 0.9 ? (ALPHABET[pick(64)] as string) : String.fromCharCode(pick(0x10000));
        chars.splice(pick(chars.length + 1), pick(3), ...(random() < 0.8 ? [char] : []));
      }
      const mutated = chars.join("");
      if (mutated !== token && !isRefused(mutated)) opened++;
    }
    expect(opened).to.equal(0);
  });
});
