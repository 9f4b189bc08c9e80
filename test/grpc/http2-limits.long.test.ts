import { expect } from "chai";
import { afterEach, beforeEach, describe, it } from "mocha";
import {
  continuations,
  emptyData,
  type Flood,
  headerBombs,
  openStreams,
  pings,
  rapidResets,
  settings,
  trailers,
} from "../attacks/http2-floods.ts";
import { backends, type FreshDatabase } from "../support/backends.ts";
import { checkHealth } from "../support/health-client.ts";
import { Http2Connection } from "../support/http2-call.ts";
import { methodPath, RawChannel } from "../support/raw-channel.ts";
import { callHeaders, FLAG, FRAME, frame, RawHttp2, streamId } from "../support/raw-http2.ts";
import { type RunningService, startService } from "../support/service.ts";
import { until } from "../support/until.ts";

describe("HTTP/2 on an unauthenticated connection", () => {
  let database: FreshDatabase;
  let running: RunningService;

  beforeEach(async () => {
    database = (await backends[0]?.create()) as FreshDatabase;
    running = await startService({ url: database.url });
  });
  afterEach(async () => {
    await running?.stop();
    await database?.dispose();
  });

  it("announces the maximum of streams and the size of headers in SETTINGS", async () => {
    const http2 = await Http2Connection.open(running.address);
    const { maxConcurrentStreams, maxHeaderListSize } = http2.session.remoteSettings;
    expect([maxConcurrentStreams, maxHeaderListSize]).to.deep.equal([32, 32 * 1024]);
    await http2.close();
  });

  it("accepts 32 KiB of headers, half of which may be a credential", async () => {
    const http2 = await Http2Connection.open(running.address);
    try {
      const ask = (bytes: number) =>
        http2.send(methodPath("IsBlacklisted"), Buffer.alloc(5), {
          authorization: `Bearer ${"x".repeat(bytes)}`,
        });
      expect((await ask(16 * 1024)).code).to.equal("INVALID_ARGUMENT");
      expect((await ask(33 * 1024)).code).to.equal(undefined);
      // The connection stays open.
      expect((await ask(16)).code).to.equal("INVALID_ARGUMENT");
    } finally {
      await http2.close();
    }
  });

  const floods: readonly [string, (address: string) => Promise<Flood>, closes: boolean][] = [
    ["resets of streams that have just begun", (address) => rapidResets(address, { count: 3000 }), false],
    ["headers that never end", (address) => continuations(address, { count: 1000 }), true],
    ["pings whose answers are not read", (address) => pings(address, { count: 100_000 }), false],
    ["SETTINGS whose answers are not read", (address) => settings(address, { count: 100_000 }), false],
    ["trailers, which no call has", (address) => trailers(address, { count: 3000 }), true],
    ["DATA without data", (address) => emptyData(address, { count: 100_000 }), true],
    ["headers that decompress to megabytes", (address) => headerBombs(address, { count: 300 }), false],
    [
      "headers past their bound, whose peer has not acknowledged it",
      (address) => headerBombs(address, { count: 300, references: 50 }),
      true,
    ],
    ["streams that are opened and abandoned", (address) => openStreams(address, { count: 3000 }), true],
  ];
  for (const [what, attack, closes] of floods) {
    it(`survives a flood of ${what}: others are served, with constant memory`, async function () {
      this.timeout(60_000);
      const channel = new RawChannel(running.address);
      try {
        expect(await checkHealth(channel)).to.equal("SERVING");
        const before = held();
        const attacking = attack(running.address);
        for (let times = 0; times < 5; times++) expect(await checkHealth(channel)).to.equal("SERVING");
        const { closed } = await attacking;
        if (closes) expect(closed).to.equal(true);
        expect(held() - before).to.be.below(100 * 1024 * 1024);
        expect(await checkHealth(channel)).to.equal("SERVING");
      } finally {
        channel.close();
      }
    });
  }

  it("accepts a thousand resets at once, and then no more streams on the connection", async () => {
    const http2 = await RawHttp2.open(running.address);
    const call = callHeaders(methodPath("IsBlacklisted"));
    const cancel = Buffer.from([0, 0, 0, 8]);
    await http2.flood(
      (index) =>
        Buffer.concat([
          frame(FRAME.headers, FLAG.endHeaders, streamId(index), call),
          frame(FRAME.reset, 0, streamId(index), cancel),
        ]),
      { count: 1500 },
    );
    await until(() => http2.goaway !== undefined, { withinMs: 10_000, what: "GOAWAY is received" });
    http2.close();
  });
});

/** Bytes in use, of any kind. */
function held(): number {
  const { external, heapUsed } = process.memoryUsage();
  return external + heapUsed;
}
