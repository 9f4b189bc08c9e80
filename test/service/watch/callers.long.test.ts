import { expect } from "chai";
import { backends } from "../../support/backends.ts";
import { TokenCallers } from "../../support/callers.ts";
import { methodPath } from "../../support/raw-channel.ts";
import type { RunningService } from "../../support/service.ts";
import { ends } from "../../support/stream-end.ts";
import { until } from "../../support/until.ts";
import { Watcher } from "../../support/watcher.ts";
import { WatchStage } from "./watch-stage.ts";

for (const backend of backends) {
  describe(`Watch on ${backend.name} with authentication`, function () {
    this.timeout(60_000);
    let stage: WatchStage;
    let tokens: TokenCallers;
    let service: RunningService;

    beforeEach(async () => {
      stage = await WatchStage.on(backend);
      tokens = await TokenCallers.create();
      service = await stage.start({ env: tokens.env });
    });
    afterEach(() => stage.close());

    const bearer = (claims: object = {}) => tokens.bearer(claims);

    it("needs the role check and a valid credential", async () => {
      const cases: Record<
        string,
        { authorization: readonly string[]; reason: "UNAUTHENTICATED" | "PERMISSION_DENIED" }
      > = {
        "no credential": { authorization: [], reason: "UNAUTHENTICATED" },
        "an expired one": { authorization: await bearer({ exp: 1 }), reason: "UNAUTHENTICATED" },
        "all other roles": {
          authorization: await bearer({ scope: "revoke list prune" }),
          reason: "PERMISSION_DENIED",
        },
      };
      for (const [name, { authorization, reason }] of Object.entries(cases)) {
        const watcher = Watcher.begin(stage.connect(service), { authorization });
        expect(await watcher.ended, name).to.deep.equal(ends(reason, reason));
        expect(watcher.messages, name).to.deep.equal([]);
      }
      const watcher = Watcher.begin(stage.connect(service), { authorization: await bearer() });
      expect(await watcher.sync()).to.equal("synced");
      watcher.cancel();
      const lines = () => service.logs().filter(({ method }) => method === "Watch");
      await until(() => lines().length === 4, { withinMs: 2000, what: "all have ended" });
      expect(lines().map(({ caller }) => caller)).to.deep.equal([undefined, undefined, "gateway", "gateway"]);
    });

    it("ends at once when the caller's own token is blacklisted, and cannot be opened again", async () => {
      const authorization = await bearer({ jti: "own", scope: "check revoke" });
      const channel = stage.connect(service);
      const [one, other] = [authorization, await bearer({ jti: "other" })].map((own) =>
        Watcher.begin(channel, { authorization: own }),
      ) as [Watcher, Watcher];
      await Promise.all([one.complete(), other.complete()]);
      const revoked = await channel.call(
        methodPath("Blacklist"),
        Buffer.from("0a0d0a036f776e1a0608808aee990f", "hex"),
        { authorization },
      );
      expect(revoked.code).to.equal("OK");
      const began = performance.now();
      expect(await one.ended).to.deep.equal(ends("UNAUTHENTICATED", "UNAUTHENTICATED"));
      expect(performance.now() - began).to.be.below(500);
      await other.sync();
      expect([other.has("own"), one.has("own")]).to.deep.equal([true, false]);
      const again = Watcher.begin(channel, { authorization });
      expect(await again.ended).to.deep.equal(ends("UNAUTHENTICATED", "UNAUTHENTICATED"));
      expect(again.messages).to.deep.equal([]);
    });
  });
}
