import { expect } from "chai";
import { DEFAULT_DEADLINE_MS, WATCH_HEARTBEAT_MS } from "../../../src/limits.ts";
import { backends } from "../../support/backends.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { FaultProxy } from "../../support/fault-proxy.ts";
import { methodPath } from "../../support/raw-channel.ts";
import { ends } from "../../support/stream-end.ts";
import { until } from "../../support/until.ts";
import { Watcher } from "../../support/watcher.ts";
import { revoke, WatchStage, watchersOf } from "./watch-stage.ts";

for (const backend of backends) {
  describe(`Watch on ${backend.name}`, function () {
    this.timeout(60_000);
    let stage: WatchStage;

    beforeEach(async () => {
      stage = await WatchStage.on(backend);
    });
    afterEach(() => stage.close());

    it("ends with OK on a half-close, and is CANCELLED in the log if the client disconnected", async () => {
      const service = await stage.start();
      const [done, gone] = [await stage.watch(service).complete(), await stage.watch(service).complete()];
      expect(await watchersOf(service)).to.equal(2);
      done.stream.end();
      expect(await done.ended).to.deep.equal(ends("OK"));
      gone.cancel();
      const codes = () =>
        service
          .logs()
          .flatMap(({ msg, method, code }) => (msg === "call" && method === "Watch" ? [code] : []));
      await until(() => codes().length === 2, { withinMs: 2000, what: "both have ended" });
      const proxy = await FaultProxy.start({ port: Number(service.address.split(":").at(-1)) });
      const channel = stage.connect({ address: `127.0.0.1:${proxy.port}` });
      await Watcher.begin(channel).complete();
      proxy.cut();
      await until(() => codes().length === 3, { withinMs: 2000, what: "all have ended" });
      expect([codes(), await watchersOf(service)]).to.deep.equal([["OK", "CANCELLED", "CANCELLED"], 0]);
      await proxy.close();
    });

    it("ends at the client's deadline, with or without changes", async () => {
      const service = await stage.start();
      const watcher = new Watcher(stage.connect(service), { timeoutMs: 500 });
      watcher.start();
      for (let count = 0; count < 100; count++) await revoke(service, [`${count}`]);
      expect((await watcher.ended).code).to.equal("DEADLINE_EXCEEDED");
      const lines = () => service.logs().filter(({ method }) => method === "Watch");
      await until(() => lines().length === 1, { withinMs: 2000, what: "it has ended" });
      // Node.js half-closes a stream before it resets it, which a fast service reads as a normal end.
      expect(lines()[0]?.code).to.be.oneOf(["DEADLINE_EXCEEDED", "CANCELLED", "OK"]);
      expect(await watchersOf(service)).to.equal(0);
    });

    it("is unavailable without an index", async () => {
      const service = await stage.start({ env: { INDEX: "off" }, loaded: false });
      expect(await stage.watch(service).ended).to.deep.equal(ends("UNAVAILABLE", "NOT_FRESH"));
    });

    it("ends when the index overflows, and is unavailable afterwards", async () => {
      const service = await stage.start({ env: { INDEX_MAX_ENTRIES: "3" } });
      const watcher = await stage.watch(service).complete();
      await revoke(service, ["a", "b", "c", "d"]);
      expect(await watcher.ended).to.deep.equal(ends("UNAVAILABLE", "NOT_FRESH"));
      expect(await stage.watch(service).ended).to.deep.equal(ends("UNAVAILABLE", "NOT_FRESH"));
      expect(await watchersOf(service)).to.equal(0);
    });

    it("sends a heartbeat if nothing else was sent", async () => {
      const clock = new FakeClock(Date.now());
      const service = await stage.start({ clock });
      const watcher = await stage.watch(service).complete();
      const beats = () => watcher.messages.filter(({ response }) => response.case === "heartbeat").length;
      for (let beat = 1; beat <= 3; beat++) {
        clock.advance(WATCH_HEARTBEAT_MS);
        await until(() => beats() === beat, { withinMs: 2000, what: `heartbeat ${beat}` });
      }
      clock.advance(WATCH_HEARTBEAT_MS - 1);
      await watcher.sync();
      clock.advance(1);
      await watcher.sync();
      expect(beats()).to.equal(3);
    });

    it("ends for a client that sends no start", async () => {
      const clock = new FakeClock(Date.now());
      const service = await stage.start({ clock });
      const silent = new Watcher(stage.connect(service));
      // Nothing is sent before the first message: another call on the same connection shows that the stream exists.
      silent.stream.write(Buffer.from([0xff]), () => {});
      expect((await silent.ended).code).to.equal("INVALID_ARGUMENT");
      const channel = stage.connect(service);
      const idle = new Watcher(channel);
      await channel.call(methodPath("IsBlacklisted"), Uint8Array.of(0x0a, 1, 0x61));
      for (let waited = 0; waited < DEFAULT_DEADLINE_MS; waited += WATCH_HEARTBEAT_MS)
        clock.advance(WATCH_HEARTBEAT_MS);
      expect(await idle.ended).to.deep.equal(ends("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED"));
    });

    it("ends with DRAINING in time when the service stops, even for a client that reads nothing", async () => {
      const service = await stage.start({ env: { SHUTDOWN_GRACE: "3s" } });
      await revoke(
        service,
        Array.from({ length: 20_000 }, (_, index) => `${index}`),
      );
      const watchers = await Promise.all(Array.from({ length: 20 }, () => stage.watch(service).complete()));
      const stuck = new Watcher(stage.connect(service));
      stuck.stream.pause();
      stuck.start();
      await until(async () => (await watchersOf(service)) === 21, { withinMs: 2000, what: "all are there" });
      const began = performance.now();
      await service.service.close();
      expect(performance.now() - began).to.be.below(3000);
      expect(await Promise.all(watchers.map((one) => one.ended))).to.deep.equal(
        watchers.map(() => ends("UNAVAILABLE", "DRAINING")),
      );
    });
  });
}
