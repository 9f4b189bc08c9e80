import { expect } from "chai";
import { after, before, describe, it } from "mocha";
import { backends, type FreshDatabase } from "../support/backends.ts";
import { checkHealth, listHealth, watchHealth } from "../support/health-client.ts";
import { RawChannel } from "../support/raw-channel.ts";
import { rejection } from "../support/rejection.ts";
import { type RunningService, startService } from "../support/service.ts";

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

    it("is listed for every name", async () => {
      expect(await listHealth(channel)).to.deep.equal(
        Object.fromEntries(NAMES.map((name) => [name, { status: "SERVING" }])),
      );
    });

    it("is NOT_FOUND for a service that is not here, and Watch waits for it", async () => {
      expect(await rejection(checkHealth(channel, "tokenblacklist.v2.Other"))).to.include({ code: 5 });
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
