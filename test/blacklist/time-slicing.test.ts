import { expect } from "chai";
import { ANSWERS_PER_TURN_MICROS, timeSliced } from "../../src/blacklist/time-slicing.ts";
import { settle } from "../support/follower-stage.ts";
import { turn } from "../support/held-store.ts";

describe("timeSliced", () => {
  it("handles items in order, one expensive item per turn and cheap ones together", async () => {
    const costs = [1, 1, ANSWERS_PER_TURN_MICROS, 1, ANSWERS_PER_TURN_MICROS - 1, 1, 1];
    const groups: number[][] = [[]];
    timeSliced(
      costs.map((cost, index) => ({ cost, index })),
      ({ index }) => {
        groups.at(-1)?.push(index);
        if (index === 0) void cutEveryTurn();
      },
    );
    async function cutEveryTurn(): Promise<void> {
      for (let count = 0; count < 5; count++) {
        await turn();
        groups.push([]);
      }
    }
    await settle();
    expect(groups.filter(({ length }) => length > 0)).to.deep.equal([
      [0, 1, 2],
      [3, 4],
      [5, 6],
    ]);
  });

  it("does nothing without items, and handles the first at once", () => {
    timeSliced([], () => {
      throw new Error("there is no item to handle");
    });
    let done = 0;
    timeSliced([{ cost: 1e9 }, { cost: 1 }], () => void done++);
    expect(done).to.equal(1);
  });
});
