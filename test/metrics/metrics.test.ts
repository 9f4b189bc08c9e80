import { create, toBinary } from "@bufbuild/protobuf";
import type { ClientDuplexStream } from "@grpc/grpc-js";
import { expect } from "chai";
import { after, before, describe, it } from "mocha";
import { EntryKind, WatchRequestSchema } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { Asker } from "../support/asker.ts";
import { backends, type FreshDatabase } from "../support/backends.ts";
import { checkRequest, sendCheck } from "../support/envoy-check.ts";
import { freePort } from "../support/free-port.ts";
import { checkHealth, listHealth, watchHealth } from "../support/health-client.ts";
import { createSigningKey, KeyServer, signToken } from "../support/issuer.ts";
import { RawChannel } from "../support/raw-channel.ts";
import { rejection } from "../support/rejection.ts";
import { scrape } from "../support/scrape.ts";
import { type RunningService, startService } from "../support/service.ts";
import { until } from "../support/until.ts";

const YEAR_2100 = 4_102_444_800n;
const WATCH = "/tokenblacklist.v1.TokenBlacklist/Watch";
const START = toBinary(
  WatchRequestSchema,
  create(WatchRequestSchema, { request: { case: "start", value: { entryKinds: [EntryKind.JTI] } } }),
);

for (const backend of backends) {
  describe(`the metrics of a service (${backend.name})`, () => {
    let database: FreshDatabase;
    let running: RunningService;
    let channel: RawChannel;

    before(async () => {
      database = await backend.create();
      running = await startService({
        url: database.url,
        env: { INDEX: "on", EXT_AUTHZ: "on", PRUNE_INTERVAL: "0" },
      });
      await running.indexLoaded();
      channel = new RawChannel(running.address);
    });
    after(async () => {
      channel?.close();
      await running?.stop();
      await database?.dispose();
    });

    /** Every series with its value, as `name{label="value"}`, without buckets. */
    async function values(): Promise<Map<string, number>> {
      const metrics = await scrape(running.adminUrl);
      return new Map(
        [...metrics.values()]
          .flatMap(({ series }) => series)
          .filter(({ name }) => !name.endsWith("_bucket"))
          .map(({ name, labels, value }) => {
            const text = Object.entries(labels).map(([label, of]) => `${label}="${of}"`);
            return [text.length === 0 ? name : `${name}{${text.join()}}`, value];
          }),
      );
    }

    /** The changes of these metrics' series during `work`, without unchanged ones. */
    async function changes(names: RegExp, work: () => Promise<unknown>): Promise<Record<string, number>> {
      const earlier = await values();
      await work();
      const changed = [...(await values())]
        .filter(([name]) => names.test(name))
        .map(([name, value]): [string, number] => [name, value - (earlier.get(name) ?? 0)]);
      return Object.fromEntries(changed.filter(([, by]) => by !== 0));
    }

    it("count verdicts of every kind of check", async () => {
      const expiresAt = { seconds: YEAR_2100, nanos: 0 };
      await running.client.blacklist({ tokens: [{ token: { case: "jti", value: "split" }, expiresAt }] });
      const asker = new Asker(channel);
      const counted = await changes(/^tokenblacklist_verdicts_total/, async () => {
        await running.client.isBlacklisted({ jtis: ["split", "a", "b"] });
        await asker.ask({ jtis: ["split", "split", "a"] });
      });
      asker.stream.cancel();
      expect(counted).to.deep.equal({
        'tokenblacklist_verdicts_total{verdict="blacklisted"}': 3,
        'tokenblacklist_verdicts_total{verdict="not_blacklisted"}': 3,
      });
    });

    function watch(): ClientDuplexStream<Buffer, Buffer> {
      const stream = channel.open(WATCH);
      stream.on("error", () => {});
      stream.write(Buffer.from(START));
      return stream;
    }

    const revoke = (...jtis: string[]) =>
      running.client.blacklist({
        tokens: jtis.map((value) => ({
          token: { case: "jti" as const, value },
          expiresAt: { seconds: YEAR_2100 },
        })),
      });

    /** The service knows `Canceled` only once the cancellation has arrived. */
    const settled = (series: string, count: number) =>
      until(async () => (await values()).get(series) === count, { withinMs: 3000, what: series });

    it("count every method's calls as they start and end, streams and other services included", async () => {
      const series = (metric: string, type: string, path: string, code?: string) => {
        const [service, method] = path.split("/");
        const labels = `grpc_type="${type}",grpc_service="${service}",grpc_method="${method}"`;
        return `${metric}{${labels}${code === undefined ? "" : `,grpc_code="${code}"`}}`;
      };
      const own = "tokenblacklist.v1.TokenBlacklist";
      const health = "grpc.health.v1.Health";
      const canceled = [
        series("grpc_server_handled_total", "bidi_stream", `${own}/Watch`, "Canceled"),
        series("grpc_server_handled_total", "server_stream", `${health}/Watch`, "Canceled"),
      ];
      const counted = await changes(/^grpc_server_(started|handled)_total/, async () => {
        await revoke("a");
        await running.client.isBlacklisted({ jtis: ["a"] });
        await rejection(running.client.list({ pageSize: -1 }));
        await running.client.prune({});
        await sendCheck(channel, { metadata: {} });
        await checkHealth(channel);
        await rejection(checkHealth(channel, "another"));
        await listHealth(channel);
        const stopped = watchHealth(channel);
        await stopped.reaches("SERVING");
        stopped.cancel();
        const left = watch();
        await new Promise((resolve) => left.once("data", resolve));
        left.cancel();
        const done = watch();
        await new Promise((resolve) => done.once("data", resolve));
        const ended = new Promise((resolve) => done.once("status", resolve));
        done.end();
        await ended;
        const asker = new Asker(channel);
        await Promise.all([asker.verdicts("a"), asker.verdicts("b"), asker.verdicts("")]);
        await asker.done();
        for (const one of canceled) await settled(one, 1);
      });
      const once = (type: string, path: string, code: string) => ({
        [series("grpc_server_started_total", type, path)]: 1,
        [series("grpc_server_handled_total", type, path, code)]: 1,
      });
      expect(counted).to.deep.equal({
        ...once("unary", `${own}/Blacklist`, "OK"),
        ...once("unary", `${own}/IsBlacklisted`, "OK"),
        ...once("bidi_stream", `${own}/StreamChecks`, "OK"),
        [series("grpc_server_started_total", "bidi_stream", `${own}/IsBlacklisted`)]: 3,
        [series("grpc_server_handled_total", "bidi_stream", `${own}/IsBlacklisted`, "OK")]: 2,
        [series("grpc_server_handled_total", "bidi_stream", `${own}/IsBlacklisted`, "InvalidArgument")]: 1,
        ...once("unary", `${own}/List`, "InvalidArgument"),
        ...once("unary", `${own}/Prune`, "OK"),
        ...once("unary", "envoy.service.auth.v3.Authorization/Check", "OK"),
        ...once("unary", `${health}/List`, "OK"),
        ...once("server_stream", `${health}/Watch`, "Canceled"),
        [series("grpc_server_started_total", "unary", `${health}/Check`)]: 2,
        [series("grpc_server_handled_total", "unary", `${health}/Check`, "OK")]: 1,
        [series("grpc_server_handled_total", "unary", `${health}/Check`, "NotFound")]: 1,
        [series("grpc_server_started_total", "bidi_stream", `${own}/Watch`)]: 2,
        [series("grpc_server_handled_total", "bidi_stream", `${own}/Watch`, "OK")]: 1,
        [series("grpc_server_handled_total", "bidi_stream", `${own}/Watch`, "Canceled")]: 1,
      });
    });

    it("have no label values from callers", async () => {
      // Those of Node.js have labels for kinds of resources and garbage collections.
      const ours = async () =>
        [...(await values()).keys()].filter((name) => !name.startsWith("nodejs_")).sort();
      const earlier = await ours();
      const paths = [
        "/x.Hostile/Call",
        "/tokenblacklist.v1.TokenBlacklist/Hostile",
        "//",
        `/${"h".repeat(3000)}`,
      ];
      for (const path of paths) await channel.call(path, Buffer.from("hostile"));
      await channel.call("/tokenblacklist.v1.TokenBlacklist/IsBlacklisted", Buffer.from([255, 255]));
      const hostile = new Asker(channel);
      await hostile.verdicts("hostile");
      hostile.stream.write(Buffer.from([255, 255]));
      await hostile.ended;
      await rejection(checkHealth(channel, "hostile"));
      await revoke('hostile",x="1', "hostile\n");
      await running.client.isBlacklisted({
        jtis: ['hostile"} 1'],
        freshness: { case: "atLeastRevision", value: (await revoke("hostile-2")).revision },
      });
      await channel.call("/tokenblacklist.v1.TokenBlacklist/List", Buffer.alloc(0), {
        authorization: ["Bearer hostile"],
      });
      await channel.call(
        "/envoy.service.auth.v3.Authorization/Check",
        checkRequest({ metadata: { hostile: { hostile: "hostile" } } }),
      );
      expect(await ours()).to.deep.equal(earlier);
    });

    it("report the outcomes of writes, the number of entries, and of live entries", async () => {
      // Earlier revocations must be in the index by now.
      await running.client.isBlacklisted({ jtis: ["proof"] });
      const counted = await changes(
        /^tokenblacklist_(commits_total|commit_(entries|requests)_|commit_seconds_count|written|index_(live_)?entries)/,
        async () => {
          await revoke("w-1", "w-2");
          await revoke("w-2", "w-3");
          await running.client.isBlacklisted({ jtis: ["w-3", "w-4"] });
        },
      );
      expect(counted).to.deep.equal({
        'tokenblacklist_commits_total{outcome="succeeded"}': 2,
        tokenblacklist_commit_seconds_count: 2,
        tokenblacklist_commit_entries_sum: 4,
        tokenblacklist_commit_entries_count: 2,
        tokenblacklist_commit_requests_sum: 2,
        tokenblacklist_commit_requests_count: 2,
        'tokenblacklist_written_entries_total{outcome="created"}': 3,
        'tokenblacklist_written_entries_total{outcome="unchanged"}': 1,
        tokenblacklist_index_entries: 3,
        tokenblacklist_index_live_entries: 3,
      });
    });

    it("report the state: serving, following, recently proven, without clock skew", async () => {
      const now = await values();
      expect(now.get("tokenblacklist_serving")).to.equal(1);
      expect(now.get("tokenblacklist_serving_positives")).to.equal(1);
      expect(now.get('tokenblacklist_index_phase{phase="following"}')).to.equal(1);
      expect(now.get('tokenblacklist_index_phase{phase="loading"}')).to.equal(0);
      expect(now.get("tokenblacklist_index_staleness_seconds")).to.be.within(0, 5);
      expect(now.get("tokenblacklist_follower_lag_commits")).to.equal(0);
      expect(now.get("tokenblacklist_clock_skew_seconds")).to.be.within(-5, 5);
      expect(now.get("tokenblacklist_pool_waiting")).to.equal(0);
      expect(now.get("tokenblacklist_pool_connections_limit")).to.equal(backend.name === "sqlite" ? 1 : 4);
      expect(now.get("tokenblacklist_prune_oldest_seconds")).to.equal(0);
      expect(now.has("tokenblacklist_prune_last_run_success"), "no run yet").to.equal(false);
    });

    it("count local copies while they are connected", async () => {
      const stream = watch();
      await new Promise((resolve) => stream.once("data", resolve));
      expect((await values()).get("tokenblacklist_watchers")).to.equal(1);
      stream.cancel();
      await settled("tokenblacklist_watchers", 0);
    });

    it("report the version and the schema", async () => {
      const { series } = (await scrape(running.adminUrl)).get("tokenblacklist_build_info") ?? { series: [] };
      expect(series.map(({ labels }) => labels)).to.deep.equal([
        { version: "unknown", node: "unknown", schema: "4" },
      ]);
    });
  });
}

describe("the metrics of a service with authentication", () => {
  it("count authenticated and refused callers, independent of their permissions", async () => {
    const database = (await backends[0]?.create()) as FreshDatabase;
    const key = await createSigningKey("one");
    const keys = await KeyServer.start(key);
    const running = await startService({
      url: database.url,
      env: { AUTH_JWKS_URL: keys.url, AUTH_ISSUER: "https://issuer.test", AUTH_AUDIENCE: "here" },
    });
    const channel = new RawChannel(running.address);
    const ask = (...authorization: string[]) =>
      channel.call("/tokenblacklist.v1.TokenBlacklist/IsBlacklisted", Buffer.from([10, 1, 97]), {
        authorization,
      });
    const value = async (name: string) => (await scrape(running.adminUrl)).get(name)?.series;
    try {
      const exp = Math.floor(Date.now() / 1000) + 3600;
      const claims = { iss: "https://issuer.test", aud: "here", sub: "gateway", exp, scope: "check" };
      const token = await signToken(key, claims);
      const codes = [
        await ask(),
        await ask("Bearer x"),
        await ask(`Bearer ${token}`),
        await ask(`Bearer ${token}`),
        await ask(`Bearer ${await signToken(key, { ...claims, scope: "list" })}`),
      ];
      expect(codes.map(({ code }) => code)).to.deep.equal([
        ...["UNAUTHENTICATED", "UNAUTHENTICATED", "OK", "OK"],
        "PERMISSION_DENIED",
      ]);
      const outcomes = (await value("tokenblacklist_authentications_total"))?.map(
        ({ labels, value: count }) => [labels.outcome, count],
      );
      expect(Object.fromEntries(outcomes ?? [])).to.deep.equal({
        known: 3,
        refused: 2,
        unavailable: 0,
        failed: 0,
      });
      expect((await value("tokenblacklist_key_sets_unreadable"))?.[0]?.value).to.equal(0);
    } finally {
      channel.close();
      await running.stop();
      await keys.stop();
      await database.dispose();
    }
  });

  it("count callers whose keys are unavailable", async () => {
    const database = (await backends[0]?.create()) as FreshDatabase;
    const running = await startService({
      url: database.url,
      env: {
        AUTH_JWKS_URL: `http://127.0.0.1:${await freePort()}/keys`,
        AUTH_ISSUER: "https://issuer.test",
        AUTH_AUDIENCE: "here",
      },
    });
    const channel = new RawChannel(running.address);
    try {
      const token = await signToken(await createSigningKey("one"), { sub: "gateway" });
      const { code } = await channel.call("/tokenblacklist.v1.TokenBlacklist/List", Buffer.alloc(0), {
        authorization: [`Bearer ${token}`],
      });
      expect(code).to.equal("UNAVAILABLE");
      const metrics = await scrape(running.adminUrl);
      const outcomes = metrics.get("tokenblacklist_authentications_total")?.series ?? [];
      expect(outcomes.filter(({ value }) => value > 0).map(({ labels }) => labels)).to.deep.equal([
        { outcome: "unavailable" },
      ]);
      expect(metrics.get("tokenblacklist_key_sets_unreadable")?.series[0]?.value).to.equal(1);
    } finally {
      channel.close();
      await running.stop();
      await database.dispose();
    }
  });
});
