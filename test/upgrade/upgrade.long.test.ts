import { join } from "node:path";
import { expect } from "chai";
import { Fleet } from "../support/fleet.ts";
import { startLibraryLoad } from "../support/library-load.ts";
import { lostTokens } from "../support/lost-tokens.ts";
import { freshFolder } from "../support/shared.ts";
import { earlierBuild } from "./earlier-build.ts";

const GRACE_MS = 5000;

describe("a rolling upgrade of three replicas, and its reversal,", function () {
  this.timeout(180_000);

  it("lose nothing: no call of the client library fails, and no answer is wrong", async function () {
    const earlier = await earlierBuild(join(await freshFolder(), "earlier"));
    if (typeof earlier === "string") {
      if (this.test !== undefined) this.test.title += ` (skipped: ${earlier})`;
      return this.skip();
    }
    const fleet = await Fleet.start({
      replicas: 3,
      main: earlier.main,
      env: { SHUTDOWN_GRACE: `${GRACE_MS}ms` },
    });
    let load: Awaited<ReturnType<typeof startLibraryLoad>> | undefined;
    const ends = [];
    const checks = [];
    try {
      // The first command of this build compiles it, which blocks this process with its clients meanwhile.
      await fleet.command(["--version"]);
      load = await startLibraryLoad(fleet.addresses);
      await load.reaches({ checks: 500, revoked: 200 });
      // As documented in docs/operations.md: the schema first, while the old version serves; then one replica after the other.
      await fleet.migrate();
      checks.push((await fleet.command(["migrate", "check"])).code);
      ends.push(...(await fleet.roll()));
      await load.reaches({ checks: 500, revoked: 200 });
      // And back, with the schema of the new version.
      checks.push((await fleet.command(["migrate", "check"], earlier.main)).code);
      ends.push(...(await fleet.roll(earlier.main)));
      await load.reaches({ checks: 500, revoked: 200 });
      const { failed, violations } = await load.stop();
      const jtis = load.ledger.alive().map(({ jti }) => jti);
      const lost = await Promise.all(fleet.addresses.map((address) => lostTokens(address, jtis)));
      expect({ from: earlier.revision, failed, violations, lost, checks }).to.deep.equal({
        ...{ from: earlier.revision, failed: [], violations: [] },
        lost: [[], [], []],
        checks: [0, 0],
      });
      expect(ends.map(({ code }) => code)).to.deep.equal(Array(6).fill(0));
      expect(Math.max(...ends.map(({ milliseconds }) => milliseconds))).to.be.below(GRACE_MS);
    } finally {
      await load?.stop();
      await fleet.stop();
    }
  });
});
