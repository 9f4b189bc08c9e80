import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { expect } from "chai";
import { MAX_AUDITED_JTIS } from "../../src/limits.ts";
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

  it("has a line for each Blacklist: how many, which, and what came of each", async () => {
    const { client } = await serve();
    await client.blacklist({ tokens: [token("a", "c4n4ry")] });
    await client.blacklist({ tokens: [token("a"), token("b")] });
    expect(lines()).to.deep.equal([
      { ...common, method: "Blacklist", code: "OK", count: 1, outcomes: { created: 1 }, jtis: ["a"] },
      {
        ...{ ...common, method: "Blacklist", code: "OK", count: 2 },
        outcomes: { extended: 1, created: 1 },
        jtis: ["a", "b"],
      },
    ]);
    expect(running.logText()).not.to.include("c4n4ry");
  });

  it("names so many jtis and no more", async () => {
    const { client } = await serve();
    await client.blacklist({ tokens: Array.from({ length: 1000 }, (_, index) => token(`t${index}`)) });
    const [line] = lines() as { jtis: string[]; count: number }[];
    expect([line?.count, line?.jtis.length, line?.jtis[0]]).to.deep.equal([1000, MAX_AUDITED_JTIS, "t0"]);
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
