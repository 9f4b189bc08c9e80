import { expect } from "chai";
import { backends } from "../../support/backends.ts";
import { until } from "../../support/until.ts";
import type { StartOptions } from "../../support/watcher.ts";
import { HOUR, revoke, WatchStage } from "./watch-stage.ts";

const LEEWAY = 300_000;

for (const backend of backends) {
  describe(`Watch on ${backend.name}`, function () {
    this.timeout(60_000);
    let stage: WatchStage;

    beforeEach(async () => {
      stage = await WatchStage.on(backend);
    });
    afterEach(() => stage.close());

    it("sends existing entries, then changes, for as long as they are effective", async () => {
      const service = await stage.start();
      const expiresAt = Math.floor(Date.now() / 1000) * 1000 + HOUR;
      await revoke(service, ["a", "b"], expiresAt);
      const watcher = await stage.watch(service).complete();
      const { key, ...opened } = await watcher.opened();
      expect([key.length, opened]).to.deep.equal([
        32,
        { snapshot: true, entryCount: 2n, hash: "chaskey12-uuid-1" },
      ]);
      const seen = () => ["a", "b", "c"].map((jti) => watcher.untilOf(jti));
      expect(seen()).to.deep.equal([expiresAt + LEEWAY, expiresAt + LEEWAY, 0]);
      await revoke(service, ["a"], expiresAt + HOUR);
      await revoke(service, ["b"], expiresAt - 1000);
      const revision = await revoke(service, ["c"], expiresAt);
      await until(() => watcher.has("c"), { withinMs: 2000, what: "the change has come" });
      expect([seen(), watcher.revision]).to.deep.equal([
        [expiresAt + HOUR + LEEWAY, expiresAt + LEEWAY, expiresAt + LEEWAY],
        revision,
      ]);
      const times = watcher.messages.map(({ time }) => Number(time?.seconds ?? 0n) - Date.now() / 1000);
      expect(Math.min(...times)).to.be.above(-20);
      expect(Math.max(...times)).to.be.below(1);
    });

    it("proves a copy current: it has received every revocation acknowledged before the sync, 500 times", async () => {
      const here = await stage.start();
      // An embedded file has one replica.
      const elsewhere = backend.name === "sqlite" ? here : await stage.start();
      const watcher = await stage.watch(here).complete();
      const late: string[] = [];
      for (let round = 0; round < 500; round++) {
        await revoke(elsewhere, [`round-${round}`]);
        const answer = await watcher.sync();
        if (answer !== "synced" || !watcher.has(`round-${round}`)) late.push(`${round}: ${answer}`);
      }
      expect(late).to.deep.equal([]);
    });

    it("answers a sync that arrived before the snapshot after all of the snapshot", async () => {
      const service = await stage.start();
      await revoke(service, ["a"]);
      const watcher = stage.watch(service);
      expect([await watcher.sync(7n), watcher.story]).to.deep.equal([
        "synced",
        ["snapshot", "1 entries complete", "synced"],
      ]);
      const { response } = await watcher.message(({ response }) => response.case === "synced");
      expect(response).to.deep.include({ case: "synced" });
      expect(response.value).to.include({ id: 7n, revision: watcher.revision });
    });

    it("resumes where a copy was disconnected, at any replica and after a restart, even if entries were pruned meanwhile", async () => {
      const first = await stage.start({ env: { EXPIRY_LEEWAY: "0s" } });
      await revoke(first, ["gone"], Date.now() + 1500);
      await revoke(first, ["a"]);
      const before = await stage.watch(first).complete();
      await before.sync();
      const { revision, key } = before;
      before.cancel();
      await revoke(first, ["b", "c"]);
      await revoke(first, ["d"]);
      await until(async () => (await first.client.prune({})).prunedCount > 0, {
        withinMs: 10_000,
        what: "the expired entry is pruned",
      });
      if (backend.name === "sqlite") await first.stop();
      const other = await stage.start({ env: { EXPIRY_LEEWAY: "0s" } });
      for (const service of backend.name === "sqlite" ? [other] : [first, other]) {
        const watcher = stage.watch(service, { revision, key });
        await watcher.sync();
        const { snapshot } = await watcher.opened();
        expect([snapshot, ["b", "c", "d"].filter((jti) => !watcher.has(jti))]).to.deep.equal([false, []]);
        expect(watcher.revision).not.to.equal(revision);
      }
    });

    it("reports that nothing is missing to a copy that is current", async () => {
      const service = await stage.start();
      await revoke(service, ["a"]);
      const { revision, key } = await stage.watch(service).complete();
      const again = stage.watch(service, { revision, key });
      expect([await again.sync(), again.story]).to.deep.equal(["synced", ["changes", "synced"]]);
    });

    it("begins with a snapshot for a revision of another history, or a key of another blacklist", async () => {
      const service = await stage.start();
      await revoke(service, ["a"]);
      const { revision, key } = await stage.watch(service).complete();
      const [number = "", stamp = ""] = revision.split("-");
      const otherStamp = stamp.replace(/^./, (digit) => (digit === "0" ? "1" : "0"));
      const cases: StartOptions[] = [
        { revision: `${Number(number) + 5}-${stamp}`, key },
        { revision: `${number}-${otherStamp}`, key },
        { revision, key: key.map((byte) => byte ^ 1) },
        { revision, key: new Uint8Array(32) },
      ];
      const seen: unknown[] = [];
      for (const start of cases) {
        const watcher = await stage.watch(service, start).complete();
        seen.push([(await watcher.opened()).snapshot, watcher.has("a"), watcher.revision]);
      }
      expect(seen).to.deep.equal(cases.map(() => [true, true, revision]));
    });

    it("accepts increasing ids, and proves several with one read", async () => {
      const service = await stage.start();
      const watcher = await stage.watch(service).complete();
      for (const id of [1n, 5n, 6n, 2n ** 63n, 2n ** 64n - 1n]) watcher.send({ case: "sync", value: { id } });
      const isLast = ({ response }: (typeof watcher.messages)[number]) =>
        response.case === "synced" && response.value.id === 2n ** 64n - 1n;
      await watcher.message(isLast);
      const ids = watcher.messages.flatMap(({ response }) =>
        response.case === "synced" ? [response.value.id] : [],
      );
      expect(ids).to.deep.equal([...ids].sort((a, b) => (a < b ? -1 : 1)));
      expect(ids.length).to.be.below(6);
    });
  });
}
