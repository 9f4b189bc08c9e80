import { create, type DescMessage, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import { expect } from "chai";
import { after, before, describe, it } from "mocha";
import { createConnection } from "mysql2/promise";
import {
  BlacklistRequestSchema,
  IsBlacklistedRequestSchema,
  ListRequestSchema,
  PruneRequestSchema,
} from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { backends, type FreshDatabase } from "../support/backends.ts";
import { methodPath, RawChannel } from "../support/raw-channel.ts";
import { YEAR_2100 } from "../support/revoke.ts";
import { type RunningService, startService } from "../support/service.ts";
import { freshDatabase } from "../support/shared.ts";
import { detailsOf } from "../support/status-details.ts";

type Method = Parameters<typeof methodPath>[0];

interface BadRequest {
  readonly method: Method;
  readonly bytes: Uint8Array;
  readonly violations: readonly (readonly [field: string, description: string, reason?: string])[];
}

function bad<S extends DescMessage>(
  method: Method,
  schema: S,
  init: MessageInitShape<S>,
  violations: BadRequest["violations"],
): BadRequest {
  return { method, bytes: toBinary(schema, create(schema, init)), violations };
}

const YEAR_2000 = { seconds: 946_684_800n };
const AFTER_9999 = { seconds: 253_402_300_800n };
const PAST = "must not have passed already, leeway included (a token's exp counts seconds, not milliseconds)";
const OUT_OF_RANGE = "must be a timestamp between the years 1 and 9999";

const BAD_REQUESTS: readonly BadRequest[] = [
  bad("Blacklist", BlacklistRequestSchema, {}, [["tokens", "must hold 1 to 1000, not 0"]]),
  bad(
    "Blacklist",
    BlacklistRequestSchema,
    {
      tokens: [
        { expiresAt: YEAR_2100 },
        { token: { case: "jti", value: "fine" }, expiresAt: YEAR_2100 },
        { token: { case: "jti", value: "" }, expiresAt: YEAR_2000, reason: "r".repeat(513) },
        { token: { case: "jti", value: "é".repeat(128) } },
        { token: { case: "jti", value: "a\0b" }, expiresAt: AFTER_9999 },
        { token: { case: "jti", value: "a" }, expiresAt: { seconds: 4_102_444_800n, nanos: -1 } },
        { token: { case: "jwt", value: "e30.e30." }, reason: "\0" },
      ],
    },
    [
      ["tokens[0].jti", "must not be empty"],
      ["tokens[2].jti", "must not be empty"],
      ["tokens[2].expires_at", PAST, "EXPIRY_PASSED"],
      ["tokens[2].reason", "must be at most 512 bytes of UTF-8"],
      ["tokens[3].jti", "must be at most 255 bytes of UTF-8"],
      ["tokens[3].expires_at", "must be given with a jti"],
      ["tokens[4].jti", "must not contain NUL"],
      ["tokens[4].expires_at", OUT_OF_RANGE],
      ["tokens[5].expires_at", OUT_OF_RANGE],
      ["tokens[6].reason", "must not contain NUL"],
      ["tokens[6].jwt", "cannot be verified: this service has no TOKEN_ISSUERS. Send jti and expires_at"],
    ],
  ),
  bad("IsBlacklisted", IsBlacklistedRequestSchema, {}, [["jtis", "must hold 1 to 1000, not 0"]]),
  bad(
    "IsBlacklisted",
    IsBlacklistedRequestSchema,
    { jtis: ["fine", "", "\0"], freshness: { case: "atLeastRevision", value: "" } },
    [
      ["jtis[1]", "must not be empty"],
      ["jtis[2]", "must not contain NUL"],
      ["at_least_revision", "must be a revision that this service returned"],
    ],
  ),
  bad(
    "IsBlacklisted",
    IsBlacklistedRequestSchema,
    { jtis: Array(1001).fill("a"), freshness: { case: "maxStaleness", value: { seconds: -1n } } },
    [
      ["jtis", "must hold 1 to 1000, not more"],
      ["max_staleness", "must be a duration that is not negative"],
    ],
  ),
  bad(
    "List",
    ListRequestSchema,
    {
      pageSize: -1,
      revokedBy: "x".repeat(256),
      jtis: [""],
      createdAfter: AFTER_9999,
      createdBefore: { nanos: 1_000_000_000 },
    },
    [
      ["page_size", "must not be negative"],
      ["jtis[0]", "must not be empty"],
      ["revoked_by", "must be at most 255 bytes of UTF-8"],
      ["created_after", OUT_OF_RANGE],
      ["created_before", OUT_OF_RANGE],
    ],
  ),
  bad("List", ListRequestSchema, { pageToken: "bm9wZQ" }, [
    ["page_token", "must be an unaltered next_page_token of a List with the same filter"],
  ]),
  bad("Prune", PruneRequestSchema, { maxCount: -1, expiredBefore: AFTER_9999 }, [
    ["max_count", "must not be negative"],
    ["expired_before", OUT_OF_RANGE],
  ]),
];

for (const backend of backends) {
  describe(`error details (${backend.name})`, () => {
    let database: FreshDatabase;
    let running: RunningService;
    let channel: RawChannel;

    before(async () => {
      database = await backend.create();
      running = await startService({ url: database.url });
      channel = new RawChannel(running.address);
    });
    after(async () => {
      channel?.close();
      await running?.stop();
      await database?.dispose();
    });

    for (const [index, { method, bytes, violations }] of BAD_REQUESTS.entries()) {
      const fields = violations.map(([field]) => field).join(", ");
      it(`list every violation of ${method}, request ${index}: ${fields}`, async () => {
        const { code, details, ...answer } = await channel.call(methodPath(method), bytes);
        const message = violations.map(([field, description]) => `${field}: ${description}`).join("; ");
        const shown = message.length > 500 ? `${message.slice(0, 500)}...` : message;
        expect({ code, details, ...detailsOf(answer) }).to.deep.equal({
          ...{ code: status.INVALID_ARGUMENT, details: shown, message: shown },
          ...{ reason: "INVALID_REQUEST", domain: "tokenblacklist", violations },
        });
        expect(code).to.equal("INVALID_ARGUMENT");
      });
    }

    it("leave the connection open", async () => {
      const peers = new Set(running.logs().map(({ peer }) => peer));
      expect([...peers].filter((peer) => peer !== undefined)).to.have.length(1);
      const bytes = toBinary(IsBlacklistedRequestSchema, create(IsBlacklistedRequestSchema, { jtis: ["a"] }));
      expect(await channel.call(methodPath("IsBlacklisted"), bytes)).to.include({ code: "OK" });
    });

    it("state how many violations were omitted, within the trailers that clients accept", async () => {
      const jtis = Array<string>(1000).fill("\0");
      const bytes = toBinary(IsBlacklistedRequestSchema, create(IsBlacklistedRequestSchema, { jtis }));
      const { code, metadata } = await channel.call(methodPath("IsBlacklisted"), bytes);
      expect(code).to.equal("INVALID_ARGUMENT");
      const violations = detailsOf({ metadata })?.violations ?? [];
      const named = violations.slice(0, -1);
      expect(named).to.deep.equal(named.map((_, index) => [`jtis[${index}]`, "must not contain NUL"]));
      expect(violations.at(-1)).to.deep.equal(["", `${1000 - named.length} more violations are left out`]);
      const headers = Object.entries(metadata.toHttp2Headers()).flat().join("");
      expect(headers.length).to.be.within(4000, 8000);
    });

    it("are FAILED_PRECONDITION for a revision of another database", async () => {
      const other = await backend.create();
      const elsewhere = await startService({ url: other.url });
      try {
        const { revision } = await elsewhere.client.isBlacklisted({ jtis: ["a"] });
        const request = create(IsBlacklistedRequestSchema, {
          jtis: ["a"],
          freshness: { case: "atLeastRevision", value: revision },
        });
        const { code, ...answer } = await channel.call(
          methodPath("IsBlacklisted"),
          toBinary(IsBlacklistedRequestSchema, request),
        );
        expect(code).to.equal("FAILED_PRECONDITION");
        expect(detailsOf(answer)).to.deep.equal({
          code: status.FAILED_PRECONDITION,
          message: "the database does not have this revision: it was restored, or is another database",
          reason: "REVISION_LOST",
          domain: "tokenblacklist",
        });
      } finally {
        await elsewhere.stop();
        await other.dispose();
      }
    });

    it("are absent for a method that does not exist", async () => {
      const answer = await channel.call("/tokenblacklist.v1.TokenBlacklist/Forgive", new Uint8Array());
      expect(answer.code).to.equal("UNIMPLEMENTED");
      expect(detailsOf(answer)).to.equal(undefined);
    });
  });
}

describe("an unexpected error", () => {
  it("is INTERNAL with a fixed text for the caller, and its cause is only logged", async () => {
    const database = await freshDatabase();
    const running = await startService({ url: database.url });
    const channel = new RawChannel(running.address);
    const token = { token: { case: "jti" as const, value: "a" }, expiresAt: { seconds: 4_102_444_800n } };
    const bytes = toBinary(BlacklistRequestSchema, create(BlacklistRequestSchema, { tokens: [token] }));
    try {
      const connection = await createConnection({ uri: database.url });
      await connection.query(
        `CREATE TRIGGER unforeseen BEFORE INSERT ON blacklisted_tokens FOR EACH ROW
         SIGNAL SQLSTATE '22001' SET MYSQL_ERRNO = 1406, MESSAGE_TEXT = 'data too long for canary'`,
      );
      await connection.end();
      const { code, details, ...answer } = await channel.call(methodPath("Blacklist"), bytes);
      expect({ details, ...detailsOf(answer) }).to.deep.equal({
        details: "internal error",
        code: status.INTERNAL,
        message: "internal error",
        reason: "INTERNAL",
        domain: "tokenblacklist",
      });
      expect(code).to.equal("INTERNAL");
      expect(answer.metadata.toJSON()).to.have.all.keys("content-type", "date", "grpc-status-details-bin");
      const line = running.logs().find((record) => record.code === "INTERNAL");
      expect(line).to.deep.include({ level: "error", method: "Blacklist", reason: "INTERNAL" });
      expect((line?.err as { message?: string })?.message).to.equal("data too long for canary");
    } finally {
      channel.close();
      await running.stop();
      await database.dispose();
    }
  });
});
