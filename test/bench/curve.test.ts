import { expect } from "chai";
import { curveOf } from "../../bench/curve.ts";

const PLAN = { over: "callers", at: [1, 16], lines: [{ name: "p99", unit: "ms" }] };

describe("a curve of the bench", () => {
  it("keeps four digits of each figure, and null where nothing was measured", () => {
    expect(curveOf(PLAN, [[1234.567], [Number.NaN]])).to.deep.equal({
      over: "callers",
      at: [1, 16],
      lines: [{ name: "p99", unit: "ms", values: [1235, null] }],
    });
  });

  it("rejects points other than the planned ones", () => {
    expect(() => curveOf(PLAN, [[1]])).to.throw(RangeError, "not those that were planned");
    expect(() => curveOf(PLAN, [[1], [2, 3]])).to.throw(RangeError, "not those that were planned");
  });
});
