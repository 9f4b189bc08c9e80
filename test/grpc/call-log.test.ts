import { expect } from "chai";
import { describe, it } from "mocha";
import {
  BlacklistRequestSchema,
  IsBlacklistedRequestSchema,
  ListRequestSchema,
  PruneRequestSchema,
} from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { LOGGED_REFUSALS } from "../../src/logging/log-sampling.ts";
import { backends } from "../support/backends.ts";
import { FaultProxy } from "../support/fault-proxy.ts";
import { checkHealth, watchHealth } from "../support/health-client.ts";
import { framed, Http2Connection } from "../support/http2-call.ts";
import type { LogRecord } from "../support/memory-log.ts";
import { bytesOf, methodPath, RawChannel } from "../support/raw-channel.ts";
import { YEAR_2100 } from "../support/revoke.ts";
import { scrape } from "../support/scrape.ts";
import { type RunningService, startService } from "../support/service.ts";
import { CommandProcess, serveProcess } from "../support/service-process.ts";
import { freshDatabase } from "../support/shared.ts";

const YEAR_2000 = { seconds: 946_684_800n };
/** A secret in every field of a request, and in the password. */
const CANARY = "c4n4ry";

for (const backend of backends) {
  describe(`the log of calls (${backend.name})`, () => {
    async function withService(work: (running: RunningService) => Promise<void>): Promise<LogRecord[]> {
      const database = await backend.create();
      // The audit log is separate, and contains more.
      const running = await startService({ url: database.url, env: { AUDIT_LOG: "off" } });
      const before = running.logs().length;
      try {
        await work(running);
        return running
          .logs()
          .slice(before)
          .filter(({ msg }) => msg === "call");
      } finally {
        await running.stop();
        await database.dispose();
      }
    }

    it("has one line per call, with method, code, duration and peer", async () => {
      const lines = await withService(async ({ client }) => {
        const tokens = [{ token: { case: "jti" as const, value: "a" }, expiresAt: YEAR_2100 }];
        await client.blacklist({ tokens });
        await client.isBlacklisted({ jtis: ["a", "b"] });
        await client.list({});
        await client.prune({});
      });
      const seen = lines.map(({ duration_ms, peer, ...rest }) => {
        expect(duration_ms).to.be.a("number").within(0, 5000);
        expect(peer).to.match(/^127\.0\.0\.1:\d+$/);
        return rest;
      });
      const call = { code: "OK", msg: "call" };
      expect(seen).to.deep.equal([
        { level: "info", method: "Blacklist", ...call },
        { level: "debug", method: "IsBlacklisted", ...call, count: 2, blacklisted: 1, unknown: 0 },
        { level: "info", method: "List", ...call },
        { level: "info", method: "Prune", ...call },
      ]);
    });

    it("has a higher level for failed calls, with the reason", async () => {
      const lines = await withService(async ({ address }) => {
        const channel = new RawChannel(address);
        for (const method of ["Blacklist", "IsBlacklisted"] as const) {
          await channel.call(methodPath(method), new Uint8Array());
          await channel.call(methodPath(method), Uint8Array.of(0xff));
        }
        channel.close();
      });
      const refused = { level: "info", code: "INVALID_ARGUMENT", reason: "INVALID_REQUEST", msg: "call" };
      const malformed = (type: string) =>
        `: the message is not a well-formed tokenblacklist.v1.${type}Request`;
      expect(lines.map(({ duration_ms: _, peer: __, ...rest }) => rest)).to.deep.equal([
        { ...refused, method: "Blacklist", detail: "tokens: must hold 1 to 1000, not 0" },
        { ...refused, method: "Blacklist", detail: malformed("Blacklist") },
        { ...refused, method: "IsBlacklisted", detail: "jtis: must hold 1 to 1000, not 0" },
        { ...refused, method: "IsBlacklisted", detail: malformed("IsBlacklisted") },
      ]);
    });

    it("is sampled for refused calls, while the metric counts all", async () => {
      const MANY = 200;
      let counted: number | undefined;
      const lines = await withService(async ({ address, adminUrl }) => {
        const channel = new RawChannel(address);
        const empty = new Uint8Array();
        await Promise.all(Array.from({ length: MANY }, () => channel.call(methodPath("Blacklist"), empty)));
        channel.close();
        const handled = (await scrape(adminUrl)).get("grpc_server_handled_total");
        counted = handled?.series.find(
          ({ labels }) => labels.grpc_method === "Blacklist" && labels.grpc_code === "InvalidArgument",
        )?.value;
      });
      expect(lines.length).to.be.lessThan(2 * LOGGED_REFUSALS);
      // The last count of suppressed lines is logged when the service ends, after this.
      const told = lines.reduce((sum, { suppressed = 0 }) => sum + 1 + Number(suppressed), 0);
      expect(told).to.be.within(LOGGED_REFUSALS, MANY);
      expect(counted).to.equal(MANY);
    });

    it("has calls of health at level debug", async () => {
      const lines = await withService(async ({ address }) => {
        const channel = new RawChannel(address);
        await checkHealth(channel);
        const watch = watchHealth(channel);
        await watch.reaches("SERVING");
        channel.close();
      });
      expect(lines.map(({ level, method, service }) => [level, method, service])).to.deep.equal([
        ["debug", "Check", "grpc.health.v1.Health"],
        ["debug", "Watch", "grpc.health.v1.Health"],
      ]);
    });

    it("contains nothing that a caller sent, and neither do the metrics", async () => {
      await withService(async (running) => {
        const channel = new RawChannel(running.address);
        for (const [method, bytes] of canaryRequests()) {
          const { code } = await channel.call(methodPath(method), bytes);
          expect(code).to.be.oneOf(["OK", "INVALID_ARGUMENT"]);
        }
        await channel.call(`/tokenblacklist.v1.TokenBlacklist/${CANARY}`, new Uint8Array());
        await channel.call(`/${CANARY}.v1.Service/Call`, new Uint8Array());
        await checkHealth(channel, CANARY).catch(() => {});
        channel.close();
        expect(running.logs().length).to.be.at.least(canaryRequests().length);
        expect(running.logText()).not.to.include(CANARY);
        const metrics = await (await fetch(`${running.adminUrl}/metrics`)).text();
        expect(metrics).to.include("grpc_server_handling_seconds_count");
        expect(metrics).not.to.include(CANARY);
      });
    });
  });
}

describe("the output of the process", () => {
  it("contains no secret and nothing that a caller sent, even during an outage, and is one JSON object per line", async function () {
    this.timeout(60_000);
    const database = await freshDatabase();
    const address = new URL(database.url);
    const proxy = await FaultProxy.start({ host: address.hostname, port: Number(address.port || 3306) });
    const url = new URL(proxy.through(database.url));
    const migrated = await new CommandProcess(["migrate", "up"], { DATABASE_URL: url.href }).ended;
    expect(migrated).to.include({ code: 0 });
    const serving = await serveProcess({ DATABASE_URL: url.href, LOG_LEVEL: "trace", AUDIT_LOG: "off" });
    const target = String((await serving.process.line("listening")).address);
    const channel = new RawChannel(target);
    const http2 = await Http2Connection.open(target);
    const sendAll = () =>
      Promise.all(canaryRequests().map(([method, bytes]) => channel.call(methodPath(method), bytes)));
    try {
      const watch = watchHealth(channel);
      await watch.reaches("SERVING");
      await sendAll();
      // Calls that grpc-js refuses are reported in its own way.
      const body = framed(bytesOf(IsBlacklistedRequestSchema, { jtis: [CANARY] }));
      await http2.send(methodPath("IsBlacklisted"), body, { authorization: `Bearer ${CANARY}\x80` });
      await http2.send(methodPath("IsBlacklisted"), body, { "grpc-timeout": CANARY });
      proxy.reset();
      await watch.reaches("NOT_SERVING");
      await sendAll();
      await proxy.heal();
      await watch.reaches("SERVING");
      await serving.process.signal("SIGTERM");
      const { stdout, stderr, code } = await serving.process.ended;
      expect(code).to.equal(0);
      expect(stdout + stderr).not.to.include(CANARY);
      expect(stderr).to.equal("");
      for (const line of stdout.trimEnd().split("\n"))
        expect(JSON.parse(line)).to.include.keys("time", "msg");
    } finally {
      await serving.kill();
      channel.close();
      await http2.close();
      await proxy.close();
      await database.dispose();
    }
  });

  it("does not contain the database's password when the database refuses it", async function () {
    this.timeout(60_000);
    const database = await freshDatabase();
    const url = Object.assign(new URL(database.url), { username: "unknown", password: CANARY });
    const serving = await serveProcess({ DATABASE_URL: url.href, LOG_LEVEL: "trace" });
    try {
      await serving.process.line("not serving: the database is unavailable");
      await serving.process.signal("SIGTERM");
      const { stdout, stderr, code } = await serving.process.ended;
      expect([code, stderr]).to.deep.equal([0, ""]);
      expect(stdout).not.to.include(CANARY);
    } finally {
      await serving.kill();
      await database.dispose();
    }
  });
});

function canaryRequests(): ["Blacklist" | "IsBlacklisted" | "List" | "Prune", Uint8Array][] {
  const tokens = [
    { token: { case: "jti" as const, value: CANARY }, expiresAt: YEAR_2100, reason: CANARY },
    { token: { case: "jti" as const, value: `${CANARY}\0` }, expiresAt: YEAR_2000, reason: `${CANARY}\0` },
    { token: { case: "jti" as const, value: CANARY.repeat(50) }, reason: CANARY.repeat(100) },
    { token: { case: "jwt" as const, value: `${CANARY}.${CANARY}.${CANARY}` } },
  ];
  const revision = { case: "atLeastRevision" as const, value: CANARY };
  const cut = bytesOf(BlacklistRequestSchema, { tokens }).subarray(0, -1);
  return [
    ...tokens.map((token) => ["Blacklist", bytesOf(BlacklistRequestSchema, { tokens: [token] })] as const),
    ["Blacklist", bytesOf(BlacklistRequestSchema, { tokens })] as const,
    ["Blacklist", cut] as const,
    ["IsBlacklisted", bytesOf(IsBlacklistedRequestSchema, { jtis: [CANARY] })] as const,
    [
      "IsBlacklisted",
      bytesOf(IsBlacklistedRequestSchema, { jtis: [`${CANARY}\0`], freshness: revision }),
    ] as const,
    ["List", bytesOf(ListRequestSchema, { jtis: [CANARY], revokedBy: CANARY })] as const,
    ["List", bytesOf(ListRequestSchema, { pageToken: CANARY, revokedBy: `${CANARY}\0` })] as const,
    ["List", bytesOf(ListRequestSchema, { pageToken: CANARY })] as const,
    ["Prune", bytesOf(PruneRequestSchema, { maxCount: -1 })] as const,
  ].map(([method, bytes]) => [method, bytes]);
}
