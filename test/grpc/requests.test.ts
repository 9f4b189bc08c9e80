import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { expect } from "chai";
import {
  BlacklistRequestSchema,
  IsBlacklistedRequestSchema,
  ListRequestSchema,
  PruneRequestSchema,
  type TokenToBlacklist,
  type TokenToBlacklistSchema,
} from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { InvalidTokenError } from "../../src/auth/verify.ts";
import { type EpochMs, type Jti, MAX_EPOCH_MS } from "../../src/entry.ts";
import { keysUnavailable, ServiceError } from "../../src/errors.ts";
import {
  readBlacklistRequest,
  readIsBlacklistedRequest,
  readListRequest,
  readPruneRequest,
} from "../../src/grpc/requests.ts";
import { toTimestamp } from "../../src/protobuf/timestamps.ts";
import { reasonOf, rejection, thrownBy } from "../support/rejection.ts";

const NOW = Date.UTC(2030, 0, 1) as EpochMs;
const SOON = toTimestamp((NOW + 60_000) as EpochMs);
const BEYOND = { seconds: 253_402_300_800n, nanos: 0 };
const IS_BEYOND = "must be a timestamp between the years 1 and 9999";

/** The violations of a request, field by field; the reason must be INVALID_REQUEST. */
function violations(read: () => unknown): Record<string, string> {
  const { reason, violations: found } = thrownBy(read) as ServiceError;
  expect(reason).to.equal("INVALID_REQUEST");
  const fields = Object.fromEntries(found.map(({ field, description }) => [field, description]));
  expect(Object.keys(fields)).to.have.length(found.length);
  return fields;
}

describe("a Blacklist request", () => {
  type Token = Exclude<MessageInitShape<typeof TokenToBlacklistSchema>, TokenToBlacklist>;
  const withJti = (value: string, rest: Token = {}): Token => ({
    token: { case: "jti", value },
    expiresAt: SOON,
    ...rest,
  });
  const RULES = {
    charge: async (_: number) => {},
    identify: async (tokens: readonly string[]) =>
      tokens.map((token) =>
        token === ""
          ? new InvalidTokenError("must be there")
          : { jti: `jti of ${token}` as Jti, expiresAt: (NOW + Number(token)) as EpochMs },
      ),
    isPast: (expiresAt: EpochMs) => expiresAt <= NOW,
    latestExpiry: MAX_EPOCH_MS,
    revokedBy: "alice",
  };
  const readAll = (tokens: Token[], rules: Partial<typeof RULES> = {}) =>
    readBlacklistRequest(create(BlacklistRequestSchema, { tokens }), { ...RULES, ...rules });
  const read = (...tokens: Token[]) =>
    (readAll(tokens) as Awaited<ReturnType<typeof readAll>>).map(({ entry }) => entry);

  it("becomes entries in order, with duplicates, neither trimmed nor case-folded", () => {
    const tokens = [withJti(" Abc "), withJti("abc", { reason: " stolen\n" }), withJti(" Abc ")];
    const expiresAt = NOW + 60_000;
    expect(read(...tokens)).to.deep.equal([
      { key: " Abc ", expiresAt, reason: "", revokedBy: "alice" },
      { key: "abc", expiresAt, reason: " stolen\n", revokedBy: "alice" },
      { key: " Abc ", expiresAt, reason: "", revokedBy: "alice" },
    ]);
  });

  it("has expiries rounded up to the next millisecond", () => {
    const { seconds } = SOON;
    expect(read(withJti("a", { expiresAt: { seconds, nanos: 1 } }))[0]?.expiresAt).to.equal(NOW + 60_001);
  });

  it("holds 1 to 1000 tokens", () => {
    expect(read(...Array.from({ length: 1000 }, (_, index) => withJti(`${index}`)))).to.have.length(1000);
    expect([
      violations(() => read()),
      violations(() => read(...Array.from({ length: 1001 }, (_, index) => withJti(`${index}`)))),
    ]).to.deep.equal([{ tokens: "must hold 1 to 1000, not 0" }, { tokens: "must hold 1 to 1000, not more" }]);
  });

  it("may have every field at its limit", () => {
    const jti = "é".repeat(127).concat("a");
    const reason = "é".repeat(256);
    const expiresAt = { seconds: 253_402_300_799n, nanos: 999_000_000 };
    expect(read(withJti(jti, { reason, expiresAt }))).to.deep.equal([
      { key: jti, reason, expiresAt: 253_402_300_799_999, revokedBy: "alice" },
    ]);
  });

  it("reports all violations at once, with the paths of the fields", () => {
    const tokens: Token[] = [
      withJti(""),
      withJti("é".repeat(128)),
      withJti("a\0"),
      withJti("b", { expiresAt: BEYOND }),
      withJti("\uD800", { reason: "r".repeat(513), expiresAt: { seconds: 1n, nanos: 0 } }),
      withJti("good"),
      { token: { case: "jti", value: "c" }, reason: "a\0" },
      {},
      withJti("d", { expiresAt: { seconds: 253_402_300_799n, nanos: 999_000_001 } }),
      withJti("e", { reason: "\uDC00" }),
      withJti("f", { expiresAt: toTimestamp(NOW) }),
    ];
    const hasPassed =
      "must not have passed already, leeway included (a token's exp counts seconds, not milliseconds)";
    expect(violations(() => read(...tokens))).to.deep.equal({
      "tokens[0].jti": "must not be empty",
      "tokens[1].jti": "must be at most 255 bytes of UTF-8",
      "tokens[2].jti": "must not contain NUL",
      "tokens[3].expires_at": IS_BEYOND,
      "tokens[4].jti": "must be well-formed Unicode",
      "tokens[4].expires_at": hasPassed,
      "tokens[4].reason": "must be at most 512 bytes of UTF-8",
      "tokens[6].expires_at": "must be given with a jti",
      "tokens[6].reason": "must not contain NUL",
      "tokens[7].jti": "must not be empty",
      "tokens[7].expires_at": "must be given with a jti",
      "tokens[8].expires_at": "must not lie beyond the year 9999, fractions of a millisecond rounded up",
      "tokens[9].reason": "must be well-formed Unicode",
      "tokens[10].expires_at": hasPassed,
    });
  });

  it("is refused if an expiry has passed, including the first instant of 1970", () => {
    const seconds = [-1n, 0n, 1n, BigInt(NOW / 1000)];
    const fields = seconds.map((second) =>
      Object.keys(violations(() => read(withJti("a", { expiresAt: { seconds: second, nanos: 0 } })))),
    );
    expect(fields).to.deep.equal(seconds.map(() => ["tokens[0].expires_at"]));
  });

  it("may contain raw tokens, which state their jti and expiry themselves", async () => {
    const tokens: Token[] = [
      withJti("a"),
      { token: { case: "jwt", value: "1000" }, reason: "logout" },
      { token: { case: "jwt", value: "-1" } },
    ];
    const common = { revokedBy: "alice" };
    expect(await readAll(tokens)).to.deep.equal([
      { entry: { key: "a", expiresAt: NOW + 60_000, reason: "", ...common }, isExpired: false },
      { entry: { key: "jti of 1000", expiresAt: NOW + 1000, reason: "logout", ...common }, isExpired: false },
      { entry: { key: "jti of -1", expiresAt: NOW - 1, reason: "", ...common }, isExpired: true },
    ]);
  });

  it("reports what is wrong with a raw token, together with all other violations", async () => {
    const tokens: Token[] = [
      withJti(""),
      { token: { case: "jwt", value: "" }, reason: "r".repeat(513) },
      { token: { case: "jwt", value: "1000" }, expiresAt: SOON },
    ];
    const error = await rejection(Promise.resolve(readAll(tokens)));
    expect(
      violations(() => {
        throw error;
      }),
    ).to.deep.equal({
      "tokens[0].jti": "must not be empty",
      "tokens[1].jwt": "must be there",
      "tokens[1].reason": "must be at most 512 bytes of UTF-8",
      "tokens[2].expires_at": "must not be given beside a jwt",
    });
  });

  it("fails as a whole if a raw token cannot be verified now", async () => {
    const identify = () => Promise.reject(keysUnavailable());
    const tokens: Token[] = [withJti(""), { token: { case: "jwt", value: "1000" } }];
    expect(await reasonOf(Promise.resolve(readAll(tokens, { identify })))).to.equal("KEYS_UNAVAILABLE");
  });

  it("may contain no token that expires later than allowed, to the millisecond", async () => {
    const tooFar = "must not expire further ahead than this service allows (MAX_TOKEN_LIFETIME)";
    const tokens: Token[] = [withJti("a"), { token: { case: "jwt", value: "60000" } }];
    const latest = (NOW + 60_000) as EpochMs;
    expect(await readAll(tokens, { latestExpiry: latest })).to.have.length(2);
    const error = await rejection(
      Promise.resolve(readAll(tokens, { latestExpiry: (latest - 1) as EpochMs })),
    );
    expect(
      violations(() => {
        throw error;
      }),
    ).to.deep.equal({
      "tokens[0].expires_at": tooFar,
      "tokens[1].jwt": tooFar,
    });
  });

  const jwts = (count: number): Token[] =>
    Array.from({ length: count }, () => ({ token: { case: "jwt", value: "1000" } }));

  it("holds at most 100 raw tokens besides others, and more are neither charged nor verified", async () => {
    const asked: string[] = [];
    const rules = {
      charge: async (count: number) => void asked.push(`charge ${count}`),
      identify: async (tokens: readonly string[]) => {
        asked.push(`identify ${tokens.length}`);
        return RULES.identify(tokens);
      },
    };
    const most = [...jwts(100), ...Array.from({ length: 900 }, () => withJti("a"))];
    expect(await readAll(most, rules)).to.have.length(1000);
    for (const tooMany of [jwts(101), jwts(1000), [...jwts(101), withJti("a")], jwts(5000)]) {
      expect(Object.keys(violations(() => void readAll(tooMany, rules)))).to.deep.equal(["tokens"]);
    }
    expect(violations(() => void readAll(jwts(101)))).to.deep.equal({
      tokens: "must hold at most 100 jwts: send several requests",
    });
    expect(asked).to.deep.equal(["charge 1000", "identify 100"]);
  });

  it("has no raw token verified beyond its caller's quota", async () => {
    let verified = 0;
    const rules = {
      charge: async () => {
        throw new ServiceError("QUOTA_EXCEEDED", "no more");
      },
      identify: async (tokens: readonly string[]) => {
        verified += tokens.length;
        return RULES.identify(tokens);
      },
    };
    expect(await reasonOf(Promise.resolve(readAll(jwts(2), rules)))).to.equal("QUOTA_EXCEEDED");
    expect(verified).to.equal(0);
  });

  it("has at most 1000 of too many tokens examined", () => {
    const found = violations(() => read(...Array.from({ length: 5000 }, () => withJti(""))));
    expect([found.tokens, Object.keys(found).length]).to.deep.equal(["must hold 1 to 1000, not more", 1001]);
  });
});

describe("an IsBlacklisted request", () => {
  const read = (init: MessageInitShape<typeof IsBlacklistedRequestSchema>) =>
    readIsBlacklistedRequest(create(IsBlacklistedRequestSchema, init));
  const REVISION = "7-0123456789abcdef";

  it("keeps its jtis in order, with duplicates, and is fully fresh by default", () => {
    expect(read({ jtis: ["b", "A", "a ", "b"] })).to.deep.equal({
      tokens: ["b", "A", "a ", "b"],
      freshness: { kind: "linearizable" },
    });
  });

  it("may state a revision, or a staleness, rounded down to milliseconds", () => {
    const stale = (seconds: bigint, nanos: number) =>
      read({ jtis: ["a"], freshness: { case: "maxStaleness", value: { seconds, nanos } } }).freshness;
    expect([
      read({ jtis: ["a"], freshness: { case: "atLeastRevision", value: REVISION } }).freshness,
      stale(0n, 0),
      stale(0n, 999_999),
      stale(0n, 1_999_999),
      stale(5n, 0),
    ]).to.deep.equal([
      { kind: "at-least", revision: { number: 7, stamp: "0123456789abcdef" } },
      { kind: "linearizable" },
      { kind: "linearizable" },
      { kind: "max-staleness", ms: 1 },
      { kind: "max-staleness", ms: 5000 },
    ]);
  });

  it("holds 1 to 1000 jtis", () => {
    expect(read({ jtis: Array(1000).fill("a") }).tokens).to.have.length(1000);
    expect([
      violations(() => read({})),
      violations(() => read({ jtis: Array(1001).fill("") })).jtis,
    ]).to.deep.equal([{ jtis: "must hold 1 to 1000, not 0" }, "must hold 1 to 1000, not more"]);
  });

  it("reports all violations at once, with the paths of the fields", () => {
    const jtis = ["good", "", "a".repeat(256), "\0", "\uD800"];
    const wrong = {
      "jtis[1]": "must not be empty",
      "jtis[2]": "must be at most 255 bytes of UTF-8",
      "jtis[3]": "must not contain NUL",
      "jtis[4]": "must be well-formed Unicode",
    };
    const revisions = ["", "7", "latest", `${REVISION} `].map((value) =>
      violations(() => read({ jtis, freshness: { case: "atLeastRevision", value } })),
    );
    const stale = violations(() =>
      read({ jtis, freshness: { case: "maxStaleness", value: { seconds: -1n, nanos: 0 } } }),
    );
    const notARevision = { ...wrong, at_least_revision: "must be a revision that this service returned" };
    expect([...revisions, stale]).to.deep.equal([
      notARevision,
      notARevision,
      notARevision,
      notARevision,
      { ...wrong, max_staleness: "must be a duration that is not negative" },
    ]);
  });
});

describe("a List request", () => {
  const read = (init: MessageInitShape<typeof ListRequestSchema>) =>
    readListRequest(create(ListRequestSchema, init));

  it("selects all effective entries by default", () => {
    expect(read({})).to.deep.equal({
      filter: {
        includeExpired: false,
        createdAfter: undefined,
        createdBefore: undefined,
        revokedBy: undefined,
        keys: undefined,
      },
      limit: 100,
    });
  });

  it("may combine all filters", () => {
    const init = {
      pageSize: 5,
      includeExpired: true,
      createdAfter: { seconds: 1n, nanos: 0 },
      createdBefore: { seconds: 2n, nanos: 1 },
      revokedBy: "b".repeat(255),
      jtis: ["a", "A", "a"],
    };
    expect(read(init)).to.deep.equal({
      filter: {
        includeExpired: true,
        createdAfter: 1000,
        createdBefore: 2001,
        revokedBy: "b".repeat(255),
        keys: ["a", "A", "a"],
      },
      limit: 5,
    });
  });

  it("has a page of 100 by default and of 1000 at most", () => {
    const sizes = [0, 1, 1000, 1001, 2 ** 31 - 1];
    expect(sizes.map((pageSize) => read({ pageSize }).limit)).to.deep.equal([100, 1, 1000, 1000, 1000]);
  });

  it("reports all violations at once, with the paths of the fields", () => {
    const init = {
      pageSize: -1,
      createdAfter: BEYOND,
      createdBefore: { seconds: 0n, nanos: -1 },
      revokedBy: "b".repeat(256),
      jtis: ["good", "\0", ...Array(1000).fill("good")],
    };
    expect(violations(() => read(init))).to.deep.equal({
      page_size: "must not be negative",
      jtis: "must hold at most 1000",
      "jtis[1]": "must not contain NUL",
      revoked_by: "must be at most 255 bytes of UTF-8",
      created_after: IS_BEYOND,
      created_before: IS_BEYOND,
    });
  });
});

describe("a Prune request", () => {
  const read = (init: MessageInitShape<typeof PruneRequestSchema>) =>
    readPruneRequest(create(PruneRequestSchema, init));

  it("removes 10,000 by default and 100,000 at most", () => {
    const counts = [0, 1, 100_000, 100_001, 2 ** 31 - 1];
    expect(counts.map((maxCount) => read({ maxCount }).limit)).to.deep.equal([
      10_000, 1, 100_000, 100_000, 100_000,
    ]);
  });

  it("may be a dry run, and may be limited to entries that expired before a time, including 1970", () => {
    const epoch = { seconds: 0n, nanos: 0 };
    expect([read({}), read({ dryRun: true, expiredBefore: epoch })]).to.deep.equal([
      { limit: 10_000, dryRun: false, expiredBefore: undefined },
      { limit: 10_000, dryRun: true, expiredBefore: 0 },
    ]);
  });

  it("reports all violations at once", () => {
    expect(violations(() => read({ maxCount: -1, expiredBefore: BEYOND }))).to.deep.equal({
      max_count: "must not be negative",
      expired_before: IS_BEYOND,
    });
  });
});
