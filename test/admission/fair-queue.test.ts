import { expect } from "chai";
import { FairQueue } from "../../src/admission/fair-queue.ts";

describe("FairQueue", () => {
  let line: FairQueue<string>;

  beforeEach(() => {
    line = new FairQueue();
    for (const item of ["a1", "a2", "a3", "b1", "b2", "c1"]) line.add(item.charAt(0), item);
  });

  const rest = () => {
    const items: string[] = [];
    for (let item = line.next(); item !== undefined; item = line.next()) items.push(item);
    return items;
  };

  it("alternates between principals, and keeps the order of each principal's items", () => {
    expect(rest()).to.deep.equal(["a1", "b1", "c1", "a2", "b2", "a3"]);
    expect(line.isEmpty).to.equal(true);
  });

  it("serves a new principal before those that have had a turn", () => {
    const first = [line.next(), line.next(), line.next()];
    line.add("d", "d1");
    expect([first, rest()]).to.deep.equal([
      ["a1", "b1", "c1"],
      ["a2", "b2", "d1", "a3"],
    ]);
  });

  it("skips principals that may not proceed, and removed items", () => {
    expect([
      line.delete("b", "b1"),
      line.delete("b", "b1"),
      line.has("b", "b1"),
      line.has("b", "b2"),
    ]).to.deep.equal([true, false, false, true]);
    expect(line.next((name) => name !== "a")).to.equal("b2");
    expect(rest()).to.deep.equal(["a1", "c1", "a2", "a3"]);
  });
});
