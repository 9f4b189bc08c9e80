import { expect } from "chai";
import { ownMariadb } from "../support/own-mariadb.ts";
import { randomFor } from "../support/seed.ts";
import { Cluster } from "./cluster.ts";
import type { FaultName } from "./faults/faults.ts";
import { planOf } from "./plan.ts";
import { formatResult } from "./report.ts";
import { runHistory } from "./run-history.ts";

/** One of each family; `make histories` runs all of them any number of times. */
const FAULTS: FaultName[] = [
  "kill-database",
  "undone-commits",
  "pause-replica",
  "boot-in-write-storm",
  "blackhole",
  "lock-timeout",
  "read-only",
  "gateway-hold-back",
  "pause-gateway",
  "kill-watched-replica",
  "resume-in-prune-storm",
];

/** One history in sixty is insufficient and is replaced. Any other finding fails at once. */
const ATTEMPTS = 3;

describe("three replicas under many clients on few jtis", function () {
  this.timeout(180_000);
  const random = randomFor("histories");
  let cluster: Cluster;

  before(async function () {
    cluster = await Cluster.on(await ownMariadb(this), { binaryLog: false });
  });

  after(async () => {
    await cluster?.stop();
  });

  for (const fault of FAULTS) {
    it(`keep every promise during a fault: ${fault}`, async () => {
      const next = () =>
        runHistory(planOf(Math.floor(random() * 1e9), { faults: [fault], binaryLog: false }), cluster);
      let result = await next();
      for (let attempt = 1; result.onlyTooLittle && attempt < ATTEMPTS; attempt++) result = await next();
      expect(result.verdict, formatResult(result, undefined)).to.equal("ok");
    });
  }
});
