import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { expect } from "chai";
import { AUDITED_TOKENS_A_LINE } from "../../src/limits.ts";
import { backends, type FreshDatabase } from "../support/backends.ts";
import { rejection } from "../support/rejection.ts";
import { type RunningService, startService } from "../support/service.ts";

const HOUR_MS = 3_600_000;
const later = () => timestampFromMs(Date.now() + HOUR_MS);
const token = (value: string, reason = "") => ({
  token: { case: "jti" as const, value },
  expiresAt: later(),
  reason,
});

describe("the audit log", () => {
  const [backend] = backends;
  let database: FreshDatabase;
  let running: RunningService;

  beforeEach(async () => {
    database = (await backend?.create()) as FreshDatabase;
  });

  afterEach(async () => {
    await running?.stop();
    await database?.dispose();
  });

  async function serve(env: Record<string, string> = {}): Promise<RunningService> {
    running = await startService({ url: database.url, env });
    return running;
  }

  function lines(): object[] {
    return running
      .logs()
      .filter(({ msg }) => msg === "audit")
      .map(({ peer, ...rest }) => {
        expect(peer).to.match(/^127\.0\.0\.1:\d+$/);
        return rest;
      });
  }

  const common = { level: "info", caller: "", msg: "audit" };

  it("has a line for each Blacklist: how many, which, what they were asked with, and what came of each", async () => {
    const { client } = await serve();
    const [first, later] = [Date.now() + HOUR_MS, Date.now() + 2 * HOUR_MS];
    const asked = (value: string, at: number, reason: string) => ({
      ...{ token: { case: "jti" as const, value }, expiresAt: timestampFromMs(at) },
      reason,
    });
    await client.blacklist({ tokens: [asked("a", first, "stolen laptop")] });
    await client.blacklist({ tokens: [asked("a", later, "left the company"), asked("b", first, "")] });
    await client.blacklist({ tokens: [asked("a", first, "once more")] });
    const line = { ...common, method: "Blacklist", code: "OK" };
    const audited = (jti: string, outcome: string, at: number, reason?: string) => ({
      ...{ jti, outcome, expires_at: new Date(at).toISOString() },
      ...(reason === undefined ? {} : { reason }),
    });
    expect(lines()).to.deep.equal([
      {
        ...{ ...line, count: 1, outcomes: { created: 1 } },
        tokens: [audited("a", "created", first, "stolen laptop")],
      },
      {
        ...{ ...line, count: 2, outcomes: { extended: 1, created: 1 } },
        tokens: [audited("a", "extended", later, "left the company"), audited("b", "created", first)],
      },
      {
        ...{ ...line, count: 1, outcomes: { already_blacklisted: 1 } },
        // What was asked for, not the later expiry that the entry keeps.
        tokens: [audited("a", "already_blacklisted", first, "once more")],
      },
    ]);
  });

  it("names every token of a large request, in several lines", async () => {
    const { client } = await serve();
    await client.blacklist({ tokens: Array.from({ length: 120 }, (_, index) => token(`t${index}`)) });
    const parts = lines() as { part: number; parts: number; count: number; tokens: { jti: string }[] }[];
    expect(parts.map(({ part, parts, count, tokens }) => [part, parts, count, tokens.length])).to.deep.equal([
      [1, 3, 120, AUDITED_TOKENS_A_LINE],
      [2, 3, 120, AUDITED_TOKENS_A_LINE],
      [3, 3, 120, 20],
    ]);
    expect(parts.flatMap(({ tokens }) => tokens.map(({ jti }) => jti))).to.deep.equal(
      Array.from({ length: 120 }, (_, index) => `t${index}`),
    );
  });

  it("holds no raw token, not even one that stands in a reason", async () => {
    const { client } = await serve();
    const raw = `${Buffer.from('{"alg":"none"}').toString("base64url")}.e30.`;
    await client.blacklist({ tokens: [token("a", raw), token("b", `seen in a chat: ${raw}, reported`)] });
    expect(running.logText()).not.to.include(raw);
  });

  it("has a line for each Prune, a dry one too", async () => {
    const { client } = await serve();
    await client.prune({ maxCount: 10, dryRun: true, expiredBefore: timestampFromMs(0) });
    await client.prune({});
    const pruned = { ...common, method: "Prune", code: "OK", pruned_count: 0, has_more: false };
    expect(lines()).to.deep.equal([
      { ...pruned, max_count: 10, dry_run: true, expired_before: "1970-01-01T00:00:00.000Z" },
      { ...pruned, max_count: 0, dry_run: false },
    ]);
  });

  it("says of what was refused only that it was: nothing in it has been believed", async () => {
    const { client } = await serve();
    await rejection(client.blacklist({ tokens: [token("c4n4ry"), token("")] }));
    await rejection(
      client.blacklist({ tokens: [{ token: { case: "jwt", value: "c4n4ry.c4n4ry.c4n4ry" } }] }),
    );
    const refused = { ...common, method: "Blacklist", code: "INVALID_ARGUMENT", reason: "INVALID_REQUEST" };
    expect(lines()).to.deep.equal([
      { ...refused, count: 2 },
      { ...refused, count: 1 },
    ]);
    expect(running.logText()).not.to.include("c4n4ry");
  });

  it("is silent about calls that change nothing", async () => {
    const { client } = await serve();
    await client.isBlacklisted({ jtis: ["a"] });
    await client.list({});
    expect(lines()).to.deep.equal([]);
  });

  it("is written whatever the log's level is, and can be turned off", async () => {
    await serve({ LOG_LEVEL: "silent" });
    await running.client.prune({});
    expect(lines()).to.have.length(1);
    await running.stop();
    await serve({ AUDIT_LOG: "off" });
    await running.client.prune({});
    expect(lines()).to.deep.equal([]);
    expect(running.logs().filter(({ msg }) => msg === "call")).to.have.length(1);
  });
});
