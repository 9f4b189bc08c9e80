import { once } from "node:events";
import type { ClientHttp2Stream } from "node:http2";
import { expect } from "chai";
import { MAX_SNAPSHOTS } from "../../../src/blacklist/snapshot-turns.ts";
import { MAX_STREAM_STALL_MS, STREAM_END_MS } from "../../../src/limits.ts";
import { backends } from "../../support/backends.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { framed, Http2Connection } from "../../support/http2-call.ts";
import { memoryInUse } from "../../support/memory-in-use.ts";
import type { RunningService } from "../../support/service.ts";
import { until } from "../../support/until.ts";
import { type StartOptions, startMessage, WATCH_PATH } from "../../support/watcher.ts";
import { revoke, WatchStage, watchersOf } from "./watch-stage.ts";

describe("Watch clients that do not read", function () {
  this.timeout(120_000);
  const COUNT = 60_000;
  let stage: WatchStage | undefined;
  let service: RunningService;
  let clock: FakeClock;

  before(async () => {
    clock = new FakeClock(Date.now());
    stage = await WatchStage.on(backends[0] as (typeof backends)[number]);
    service = await stage.start({ clock });
    await revoke(
      service,
      Array.from({ length: COUNT }, (_, index) => `large-${index}`),
    );
  });
  after(() => stage?.close());

  const watch = (start?: StartOptions) => (stage as WatchStage).watch(service, start);

  /** A stream whose client never reads, on a bare connection, since a gRPC library reads ahead. */
  async function openStuck(
    start: StartOptions = {},
    headers: Record<string, string> = {},
  ): Promise<{ http2: Http2Connection; stream: ClientHttp2Stream }> {
    const http2 = await Http2Connection.open(service.address);
    const stream = http2.session.request({
      ":method": "POST",
      ":path": WATCH_PATH,
      "content-type": "application/grpc",
      te: "trailers",
      ...headers,
    });
    stream.on("error", () => {});
    stream.write(framed(startMessage(start)));
    await once(stream, "response");
    stream.pause();
    return { http2, stream };
  }

  /** Advances the clock in steps, and lets everything happen after each. */
  const goOn = (stepMs: number, isSo: () => boolean, what: string) =>
    until(
      () => {
        clock.advance(stepMs);
        return isSo();
      },
      { withinMs: 30_000, what },
    );

  it("use bounded memory, delay no other snapshot, and are disconnected", async () => {
    const held = async () => {
      const { external, heapUsed } = await memoryInUse();
      return external + heapUsed;
    };
    const before = await held();
    const stuck = await Promise.all(Array.from({ length: 5 * MAX_SNAPSHOTS }, () => openStuck()));
    const reader = watch();
    await goOn(100, () => reader.revision !== "", "the one who reads has all of it");
    expect(reader.entries.size).to.equal(COUNT);
    // 1.4 MB each: one segment and the window, at both ends. Memory of earlier tests in this process varies by megabytes.
    reader.messages.splice(0);
    reader.entries.clear();
    expect((await held()) - before).to.be.below(stuck.length * 1_000_000);
    expect(await watchersOf(service)).to.equal(stuck.length + 1);
    const codes = () => service.logs().flatMap(({ method, code }) => (method === "Watch" ? [code] : []));
    const began = clock.monotonic();
    await until(
      async () => {
        clock.advance(500);
        return (await watchersOf(service)) === 1;
      },
      { withinMs: 30_000, what: "all are sent away" },
    );
    expect([[...new Set(codes())], await watchersOf(service)]).to.deep.equal([["RESOURCE_EXHAUSTED"], 1]);
    expect(clock.monotonic() - began).to.be.within(MAX_STREAM_STALL_MS / 2, 2 * MAX_STREAM_STALL_MS);
    // They still read nothing: the end does not reach them, and unsent data is kept.
    const open = () => stuck.filter(({ http2 }) => !http2.session.closed).length;
    expect(open()).to.be.above(0);
    clock.advance(STREAM_END_MS);
    await until(() => open() === 0, { withinMs: 5000, what: "their connections are closed" });
    expect(await reader.sync()).to.equal("synced");
    reader.cancel();
  });

  it("are ended by their deadline too, even if they read again later", async () => {
    const { revision, key } = await watch().complete();
    const { http2, stream } = await openStuck({ revision, key }, { "grpc-timeout": "1S" });
    // More than the connection's window, and less than the maximum of unsent data.
    await revoke(
      service,
      Array.from({ length: 4000 }, (_, index) => `window-${index}`),
    );
    const began = performance.now();
    for (let count = 0; performance.now() - began < 1500; count++) {
      clock.advance(20);
      await revoke(service, [`later-${count}`]);
    }
    const trailers = once(stream, "trailers");
    stream.resume();
    expect((await trailers)[0]).to.include({ "grpc-status": "4" });
    expect((await service.client.isBlacklisted({ jtis: ["later-0"] })).verdicts).to.have.length(1);
    await http2.close();
  });
});
