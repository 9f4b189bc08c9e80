import { join } from "node:path";
import { status } from "@grpc/grpc-js";
import { expect } from "chai";
import { after, afterEach, before, describe, it } from "mocha";
import { MAX_CONNECTION_HEALTH_WATCHES, MAX_HEALTH_WATCHES } from "../../src/limits.ts";
import { healthNames } from "../attacks/health-names.ts";
import { backends, type FreshDatabase } from "../support/backends.ts";
import { checkHealth, type HealthWatch, listHealth, watchHealth } from "../support/health-client.ts";
import { framed, Http2Connection } from "../support/http2-call.ts";
import { RawChannel } from "../support/raw-channel.ts";
import { rejection } from "../support/rejection.ts";
import { scrape } from "../support/scrape.ts";
import { type RunningService, startService } from "../support/service.ts";
import { serveProcess } from "../support/service-process.ts";
import { freshFolder } from "../support/shared.ts";
import { until } from "../support/until.ts";

const NAMES = ["", "tokenblacklist.v1.TokenBlacklist", "tokenblacklist.v1.TokenBlacklist/positives"];

for (const backend of backends) {
  describe(`health (${backend.name})`, () => {
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

    for (const name of NAMES) {
      it(`is SERVING for "${name}", by Check and by Watch, as soon as the service has started`, async () => {
        expect(await checkHealth(channel, name)).to.equal("SERVING");
        const watch = watchHealth(channel, name);
        await watch.reaches("SERVING");
        watch.cancel();
        expect(await watch.ended).to.equal("CANCELLED");
        expect(watch.seen).to.deep.equal(["SERVING"]);
      });
    }

    it("is listed for every service", async () => {
      expect(await listHealth(channel)).to.deep.equal(
        Object.fromEntries(NAMES.map((name) => [name, { status: "SERVING" }])),
      );
    });

    it("is NOT_FOUND for an unknown service, and SERVICE_UNKNOWN by Watch", async () => {
      const unknown = { code: 5, details: "no service of this name is served here" };
      expect(await rejection(checkHealth(channel, "tokenblacklist.v2.Other"))).to.include(unknown);
      const watch = watchHealth(channel, "tokenblacklist.v2.Other");
      await watch.reaches("SERVICE_UNKNOWN");
      watch.cancel();
    });

    it("is NOT_SERVING while the service drains, then every Watch ends", async () => {
      const other = await backend.create();
      const closing = await startService({ url: other.url });
      const watcher = new RawChannel(closing.address);
      try {
        const watches = NAMES.map((name) => watchHealth(watcher, name));
        await Promise.all(watches.map((watch) => watch.reaches("SERVING")));
        const stopped = closing.stop();
        await Promise.all(watches.map((watch) => watch.reaches("NOT_SERVING")));
        expect(await checkHealth(watcher)).to.equal("NOT_SERVING");
        expect(await Promise.all(watches.map((watch) => watch.ended))).to.deep.equal(NAMES.map(() => "OK"));
        await stopped;
        for (const { seen } of watches) expect(seen).to.deep.equal(["SERVING", "NOT_SERVING"]);
      } finally {
        watcher.close();
        await closing.stop();
        await other.dispose();
      }
    });
  });
}

describe("health on unauthenticated connections", () => {
  const [backend] = backends;
  let database: FreshDatabase;
  let running: RunningService;
  const channels: RawChannel[] = [];
  const opened: HealthWatch[] = [];

  before(async () => {
    database = (await backend?.create()) as FreshDatabase;
    running = await startService({ url: database.url });
  });
  afterEach(async () => {
    for (const one of opened.splice(0)) one.cancel();
    for (const channel of channels.splice(0)) channel.close();
    await watches(0);
  });
  after(async () => {
    await running?.stop();
    await database?.dispose();
  });

  function connect(): RawChannel {
    const channel = new RawChannel(running.address);
    channels.push(channel);
    return channel;
  }

  function watch(channel: RawChannel, name = ""): HealthWatch {
    const stream = watchHealth(channel, name);
    opened.push(stream);
    return stream;
  }

  /** Waits until this many streams of Watch are open, according to the metric. */
  async function watches(count: number): Promise<void> {
    const open = async () =>
      (await scrape(running.adminUrl)).get("tokenblacklist_health_watches")?.series[0]?.value === count;
    await until(open, { withinMs: 5000, what: `${count} streams are open` });
  }

  it("neither keeps nor echoes a name, and refuses long ones before they are read", async () => {
    const channel = connect();
    for (const name of ["x".repeat(200), "ÿ".repeat(100), "__proto__", "constructor", "\u0000"]) {
      expect(await rejection(checkHealth(channel, name)), name).to.include({
        code: 5,
        details: "no service of this name is served here",
      });
    }
    const tooLarge = { code: 3, details: ": the message must have at most 512 bytes" };
    for (const length of [512, 1024 * 1024]) {
      expect(await rejection(checkHealth(channel, "x".repeat(length)))).to.include(tooLarge);
      const refused = watch(channel, "x".repeat(length));
      expect(await refused.ended).to.equal("INVALID_ARGUMENT");
    }
    const malformed = await channel.call("/grpc.health.v1.Health/Check", Buffer.from([0xff]));
    expect(malformed).to.include({ code: "INVALID_ARGUMENT" });
  });

  it("retains no memory for names that were watched and cancelled", async function () {
    this.timeout(60_000);
    const { address, client, process, kill } = await serveProcess({
      DATABASE_URL: `sqlite:${join(await freshFolder(), "token-blacklist.db")}`,
      NODE_OPTIONS: "--max-old-space-size=64",
    });
    try {
      // If the names were kept, it would end before the last.
      expect(await healthNames(address, { count: 60 })).to.equal(60);
      expect((await client.isBlacklisted({ jtis: ["a"] })).verdicts).to.have.length(1);
      expect(process.pid).to.be.above(0);
    } finally {
      await kill();
    }
  });

  it("counts streams of Watch, and retains nothing of cancelled or disconnected ones", async () => {
    const channel = connect();
    const open = ["", "unknown"].map((name) => watch(channel, name));
    await Promise.all([open[0]?.reaches("SERVING"), open[1]?.reaches("SERVICE_UNKNOWN")]);
    await watches(2);
    const http2 = await Http2Connection.open(running.address);
    void http2.send("/grpc.health.v1.Health/Watch", framed(Buffer.alloc(0)));
    await watches(3);
    open[0]?.cancel();
    await watches(2);
    await http2.close();
    await watches(1);
    open[1]?.cancel();
  });

  it("opens no Watch whose deadline passed before its request was complete", async () => {
    const http2 = await Http2Connection.open(running.address);
    const late = http2.session.request({
      ":method": "POST",
      ":path": "/grpc.health.v1.Health/Watch",
      ...{ "content-type": "application/grpc", te: "trailers", "grpc-timeout": "50m" },
    });
    const answered = new Promise<unknown>((resolve) =>
      late.once("response", (headers) => resolve(headers["grpc-status"])),
    );
    late.on("error", () => {}).resume();
    late.write(framed(Buffer.alloc(0)));
    expect(await answered).to.equal(String(status.DEADLINE_EXCEEDED));
    late.end();
    // On the same connection, so the end has been processed before.
    await http2.send("/grpc.health.v1.Health/Check", framed(Buffer.alloc(0)));
    await http2.close();
    await watches(0);
    const metrics = await scrape(running.adminUrl);
    const count = (name: string) =>
      (metrics.get(name)?.series ?? [])
        .filter(
          ({ labels }) => labels.grpc_service === "grpc.health.v1.Health" && labels.grpc_method === "Watch",
        )
        .reduce((sum, { value }) => sum + value, 0);
    expect(count("grpc_server_handled_total")).to.equal(count("grpc_server_started_total"));
  });

  it("accepts 25 streams of Watch per connection, and another once one has ended", async () => {
    const channel = connect();
    const open = Array.from({ length: MAX_CONNECTION_HEALTH_WATCHES }, () => watch(channel));
    await Promise.all(open.map((one) => one.reaches("SERVING")));
    expect(await watch(channel).ended).to.equal("UNAVAILABLE");
    await watch(connect()).reaches("SERVING");
    open[0]?.cancel();
    await watches(MAX_CONNECTION_HEALTH_WATCHES);
    await watch(channel).reaches("SERVING");
  });

  it("ends a stream of Watch on an unauthenticated connection when all places are taken, and none of an authenticated caller", async function () {
    this.timeout(60_000);
    const gateway = connect();
    await gateway.call("/tokenblacklist.v1.TokenBlacklist/List", Buffer.alloc(0));
    const own = watch(gateway);
    await own.reaches("SERVING");
    const connections = Array.from(
      { length: Math.ceil(MAX_HEALTH_WATCHES / MAX_CONNECTION_HEALTH_WATCHES) },
      connect,
    );
    const strangers = connections.flatMap((channel) =>
      Array.from({ length: MAX_CONNECTION_HEALTH_WATCHES }, () => watch(channel)),
    );
    const ended: string[] = [];
    for (const one of strangers) void one.ended.then((code) => ended.push(code));
    await watches(MAX_HEALTH_WATCHES);
    const newcomer = watch(connect());
    await newcomer.reaches("SERVING");
    expect(own.seen).to.deep.equal(["SERVING"]);
    await until(() => ended.length === 2, { withinMs: 5000, what: "two streams were ended" });
    expect(ended).to.deep.equal(["UNAVAILABLE", "UNAVAILABLE"]);
    await watches(MAX_HEALTH_WATCHES);
  });

  it("gives a place of the authenticated caller with the most to one with fewer", async function () {
    this.timeout(60_000);
    const known = async () => {
      const channel = connect();
      await channel.call("/tokenblacklist.v1.TokenBlacklist/List", Buffer.alloc(0));
      return channel;
    };
    const greedy = await Promise.all(
      Array.from({ length: MAX_HEALTH_WATCHES / MAX_CONNECTION_HEALTH_WATCHES }, known),
    );
    const held = greedy.flatMap((channel) =>
      Array.from({ length: MAX_CONNECTION_HEALTH_WATCHES }, () => watch(channel)),
    );
    const ended: string[] = [];
    for (const one of held) void one.ended.then((code) => ended.push(code));
    await watches(MAX_HEALTH_WATCHES);
    const stranger = watch(connect());
    expect(await stranger.ended).to.equal("UNAVAILABLE");
    const newcomer = watch(await known());
    await newcomer.reaches("SERVING");
    await until(() => ended.length === 1, { withinMs: 5000, what: "one stream was ended" });
    expect(ended).to.deep.equal(["UNAVAILABLE"]);
    await watches(MAX_HEALTH_WATCHES);
  });
});
