import { expect } from "chai";
import { connect } from "../../src/client/connect.ts";
import { Choices } from "../histories/choices.ts";
import { emptyTally } from "../support/client-load.ts";
import { FaultProxy } from "../support/fault-proxy.ts";
import { Ledger } from "../support/ledger.ts";
import { seed } from "../support/seed.ts";
import { startService } from "../support/service.ts";
import { freshFolder } from "../support/shared.ts";
import { until } from "../support/until.ts";
import { Visitors } from "./visitors.ts";

describe("the visitors of a soak", () => {
  for (const mode of ["remote", "local"] as const) {
    it(`connect, check, and leave nothing behind: ${mode}`, async () => {
      const service = await startService({ url: `sqlite:${await freshFolder()}/x.db` });
      const proxy = await FaultProxy.start({ port: Number(service.address.split(":").at(-1)) });
      const visitors = new Visitors({
        connect: () => connect({ address: `127.0.0.1:${proxy.port}`, mode }),
        ...{ name: "gateway", choices: new Choices(seed, "visitors"), ledger: new Ledger(), pauseMs: 0 },
      });
      visitors.start();
      await until(() => proxy.counts.accepted >= 20, {
        withinMs: 20_000,
        what: "twenty connections were accepted",
      });
      await visitors.stop();
      await until(() => proxy.openConnections === 0, { withinMs: 5000, what: "all connections are closed" });
      const tally = visitors.take();
      expect([tally.failed, tally.violations, tally.checks >= 20]).to.deep.equal([[], [], true]);
      expect(visitors.take()).to.deep.equal(emptyTally());
      await proxy.close();
      await service.stop();
    });
  }
});
