import { expect } from "chai";
import { connect } from "../../src/client/connect.ts";
import type { Mode } from "../../src/client/connect-options.ts";
import { migrate } from "../../src/migrate.ts";
import { parseDatabaseUrl } from "../../src/store/database-url.ts";
import { freePort } from "../support/free-port.ts";
import { CommandProcess } from "../support/service-process.ts";
import { freshDatabase } from "../support/shared.ts";
import { until } from "../support/until.ts";

const REPLICAS = 3;
const YEAR_2100 = new Date(4_102_444_800_000);
const STALENESS = { maxStalenessMs: 5000 };
/** One question after the other, from so many places. */
const ASKING = 8;

describe("a rolling restart of three replicas", function () {
  this.timeout(120_000);

  for (const mode of ["remote", "replica"] satisfies Mode[]) {
    it(`shows a client in ${mode} mode no failed and no wrong answer, at a staleness of five seconds`, async () => {
      const database = await freshDatabase();
      await migrate("up", parseDatabaseUrl(database.url), () => {});
      const ports: number[] = [];
      for (let count = 0; count < REPLICAS; count++) ports.push(await freePort());
      const start = async (port: number) => {
        const replica = new CommandProcess(["serve"], {
          DATABASE_URL: database.url,
          LISTEN_ADDRESS: `127.0.0.1:${port}`,
          ADMIN_ADDRESS: "127.0.0.1:0",
          LOG_LEVEL: "info",
        });
        await replica.line("index loaded");
        return replica;
      };
      const replicas = await Promise.all(ports.map(start));
      const client = connect({
        address: ports.map((port) => `127.0.0.1:${port}`),
        mode,
        log: { warn() {} },
      });
      const wrong: string[] = [];
      let answers = 0;
      let stopped = false;
      try {
        await until(() => client.state === "ready", { withinMs: 10_000, what: "the client is ready" });
        await client.blacklist([{ jti: "revoked", expiresAt: YEAR_2100 }]);
        await until(async () => client.isBlacklisted("revoked", STALENESS), {
          withinMs: 5000,
          what: "it is seen",
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
            // An answer from memory takes no turn of the event loop by itself.
            await new Promise((resolve) => setImmediate(resolve));
          }
        });
        for (const [index, port] of ports.entries()) {
          const replica = replicas[index] as CommandProcess;
          await replica.signal("SIGTERM");
          const { code } = await replica.ended;
          if (code !== 0) wrong.push(`a replica ended with ${code}`);
          replicas[index] = await start(port);
        }
        stopped = true;
        await Promise.all(asking);
      } finally {
        stopped = true;
        client.close();
        await Promise.all(replicas.map((replica) => replica.kill()));
        await database.dispose();
      }
      expect(wrong).to.deep.equal([]);
      expect(answers).to.be.above(1000);
    });
  }
});
