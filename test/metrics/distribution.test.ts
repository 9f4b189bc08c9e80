import { expect } from "chai";
import { Registry } from "prom-client";
import { Distribution, DistributionMetric } from "../../src/metrics/distribution.ts";

describe("DistributionMetric", () => {
  it("exports a histogram: the number of values up to each inclusive bound, the total, and the sum", async () => {
    const registry = new Registry();
    const seconds = new Distribution([0.1, 0.5]);
    const never = new Distribution([1]);
    new DistributionMetric({
      name: "x_seconds",
      help: "A text.",
      registers: [registry],
      distributions: () => [
        { labels: { of: "a" }, distribution: seconds },
        { labels: { of: "b" }, distribution: never },
      ],
    });
    for (const value of [0, 0.1, 0.25, 0.5, 0.75]) seconds.add(value);
    const text = await registry.metrics();
    expect(text.trim().split("\n")).to.deep.equal([
      "# HELP x_seconds A text.",
      "# TYPE x_seconds histogram",
      'x_seconds_bucket{of="a",le="0.1"} 2',
      'x_seconds_bucket{of="a",le="0.5"} 4',
      'x_seconds_bucket{of="a",le="+Inf"} 5',
      'x_seconds_sum{of="a"} 1.6',
      'x_seconds_count{of="a"} 5',
      'x_seconds_bucket{of="b",le="1"} 0',
      'x_seconds_bucket{of="b",le="+Inf"} 0',
      'x_seconds_sum{of="b"} 0',
      'x_seconds_count{of="b"} 0',
    ]);
    expect(await registry.metrics()).to.equal(text);
  });
});
