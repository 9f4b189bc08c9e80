import { expect } from "chai";
import type { PrivateMariadb } from "../support/mariadb.ts";
import { ownMariadb } from "../support/own-mariadb.ts";
import { revoke } from "../support/revoke.ts";
import { until } from "../support/until.ts";
import { type StartOptions, Watcher } from "../support/watcher.ts";
import { OutageStage } from "./outage-stage.ts";

describe("Watch while the database fails", function () {
  this.timeout(60_000);
  let server: PrivateMariadb;
  let stage: OutageStage;

  before(async function () {
    server = await ownMariadb(this);
  });
  after(() => server?.stop());

  beforeEach(async () => {
    stage = await OutageStage.open(server);
  });
  afterEach(() => stage.close());

  const watch = (start: StartOptions = {}) => Watcher.begin(stage.channel, { start });
  /** Sends syncs until one is proven. */
  const provenAgain = (watcher: Watcher) =>
    until(async () => (await watcher.sync()) === "synced", { withinMs: 2500, what: "there is proof again" });

  for (const [what, inflict] of Object.entries({
    "resets every connection": () => stage.proxy.reset(),
    "swallows every byte": () => stage.proxy.blackhole(),
  })) {
    it(`reports missing proof while it ${what}, and afterwards proves what happened meanwhile`, async () => {
      await revoke(stage.elsewhere, "known");
      const watcher = await watch().complete();
      expect(await watcher.sync()).to.equal("synced");
      inflict();
      const asked = performance.now();
      expect(await watcher.sync()).to.equal("unsynced");
      expect(performance.now() - asked).to.be.below(3500);
      const { response } = await watcher.message((one) => one.response.case === "unsynced");
      expect(response.value).to.include({ reason: "STORE_UNAVAILABLE" });
      await revoke(stage.elsewhere, "meanwhile");
      expect([watcher.has("known"), watcher.has("meanwhile")]).to.deep.equal([true, false]);
      await stage.proxy.heal();
      await provenAgain(watcher);
      expect([watcher.has("known"), watcher.has("meanwhile"), watcher.story[0]]).to.deep.equal([
        true,
        true,
        "snapshot",
      ]);
    });
  }

  it("proves nothing on a server made read-only, and continues when it accepts writes again", async () => {
    const watcher = await watch().complete();
    await stage.admin.query("SET GLOBAL read_only = 1");
    try {
      expect(await watcher.sync()).to.equal("unsynced");
      expect(await watch().ended).to.include({ code: "UNAVAILABLE", reason: "NOT_FRESH" });
    } finally {
      await stage.admin.query("SET GLOBAL read_only = 0");
    }
    await provenAgain(watcher);
    await revoke(stage.elsewhere, "after");
    await watcher.sync();
    expect(watcher.has("after")).to.equal(true);
  });

  it("sends every copy a snapshot of both histories when commits were lost", async () => {
    await revoke(stage.elsewhere, "kept");
    const watcher = await watch().complete();
    const { revision, key } = watcher;
    await revoke(stage.elsewhere, "lost");
    await watcher.sync();
    const lost = watcher.revision;
    expect(watcher.has("lost")).to.equal(true);
    await stage.admin.query("BEGIN");
    await stage.admin.query("SELECT * FROM blacklist_state FOR UPDATE");
    await stage.admin.query("DELETE FROM blacklisted_tokens WHERE jti = 'lost'");
    await stage.admin.query("DELETE FROM blacklist_commits ORDER BY revision DESC LIMIT 1");
    await stage.admin.query("UPDATE blacklist_state SET revision = revision - 1");
    await stage.admin.query("COMMIT");
    const loads = () => stage.here.logs().filter(({ msg }) => msg === "index loaded").length;
    await until(() => loads() === 2, { withinMs: 5000, what: "the index is rebuilt" });
    await revoke(stage.elsewhere, "new");
    for (const cursor of [revision, lost]) {
      const again = watch({ revision: cursor, key });
      expect(await again.sync()).to.equal("synced");
      expect([
        (await again.opened()).snapshot,
        ...["kept", "lost", "new"].map((jti) => again.has(jti)),
      ]).to.deep.equal([true, true, true, true]);
    }
  });
});
