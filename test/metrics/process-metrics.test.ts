import { expect } from "chai";
import { Metrics } from "../../src/metrics/metrics.ts";
import { memoryInUse } from "../support/memory-in-use.ts";

const BUILD = { version: "1.2.3", node: "20", schema: 4 };

describe("the metrics of the process", () => {
  it("are rendered with those of every service in it", async () => {
    const texts = await Promise.all(
      [new Metrics(BUILD), new Metrics(BUILD)].map((metrics) => metrics.render()),
    );
    for (const { text } of texts) {
      expect(text.match(/^nodejs_eventloop_lag_p99_seconds /gm)).to.have.length(1);
      expect(text.match(/^tokenblacklist_build_info\{/gm)).to.have.length(1);
    }
  });

  it("retain nothing of a closed service", async () => {
    const ended = new WeakRef(new Metrics(BUILD));
    await memoryInUse();
    expect(ended.deref()).to.equal(undefined);
  });
});
