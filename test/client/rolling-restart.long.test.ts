import { expect } from "chai";
import { connect } from "../../src/client/connect.ts";
import type { Mode } from "../../src/client/connect-options.ts";
import { Fleet } from "../support/fleet.ts";
import { startLibraryLoad } from "../support/library-load.ts";
import { lostTokens } from "../support/lost-tokens.ts";
import { until } from "../support/until.ts";

const YEAR_2100 = new Date(4_102_444_800_000);
const STALENESS = { maxStalenessMs: 5000 };
/** One check after the other, from this many concurrent loops. */
const ASKING = 8;
const GRACE_MS = 5000;

describe("a rolling restart of three replicas", function () {
  this.timeout(120_000);
  let fleet: Fleet;

  beforeEach(async () => {
    fleet = await Fleet.start({ replicas: 3, env: { SHUTDOWN_GRACE: `${GRACE_MS}ms` } });
  });

  afterEach(async () => {
    await fleet.stop();
  });

  for (const mode of ["remote", "local"] satisfies Mode[]) {
    it(`causes no failed and no wrong answer in ${mode} mode, at a staleness of five seconds, and no warning in the log`, async () => {
      const wrong: string[] = [];
      const log = {
        warn: (message: string, details: object) => void wrong.push(`${message} ${JSON.stringify(details)}`),
      };
      const client = connect({ address: fleet.addresses, mode, log });
      let answers = 0;
      let stopped = false;
      try {
        await until(() => client.state === "ready", { withinMs: 10_000, what: "the client is ready" });
        await client.blacklist([{ jti: "revoked", expiresAt: YEAR_2100 }]);
        await until(async () => client.isBlacklisted("revoked", STALENESS), {
          withinMs: 5000,
          what: "the revocation is visible",
        });
        const asking = Array.from({ length: ASKING }, async (_, place) => {
          for (let count = 0; !stopped; count++) {
            const jti = (count + place) % 2 === 0 ? "revoked" : `other ${count}`;
            try {
              const answer = await client.isBlacklisted(jti, STALENESS);
              if (answer !== (jti === "revoked")) wrong.push(`${jti}: ${answer}`);
            } catch (error) {
              wrong.push(`${jti}: ${error}`);
            }
            answers++;
            // An answer from memory does not yield to the event loop by itself.
            await new Promise((resolve) => setImmediate(resolve));
          }
        });
        for (const { code } of await fleet.roll()) if (code !== 0) wrong.push(`a replica ended with ${code}`);
        stopped = true;
        await Promise.all(asking);
      } finally {
        stopped = true;
        client.close();
      }
      expect(wrong).to.deep.equal([]);
      expect(answers).to.be.above(1000);
    });

    it(`fails no Blacklist and no fully fresh check in ${mode} mode, and loses no acknowledged revocation`, async () => {
      const load = await startLibraryLoad(fleet.addresses, [mode]);
      try {
        await load.reaches({ checks: 500, revoked: 200 });
        const ends = await fleet.roll();
        await load.reaches({ checks: 500, revoked: 200 });
        const { failed, violations } = await load.stop();
        const jtis = load.ledger.alive().map(({ jti }) => jti);
        const lost = await Promise.all(fleet.addresses.map((address) => lostTokens(address, jtis)));
        expect({ failed, violations, lost, codes: ends.map(({ code }) => code) }).to.deep.equal({
          ...{ failed: [], violations: [], lost: [[], [], []] },
          codes: [0, 0, 0],
        });
        expect(Math.max(...ends.map(({ milliseconds }) => milliseconds))).to.be.below(GRACE_MS);
      } finally {
        await load.stop();
      }
    });
  }
});
