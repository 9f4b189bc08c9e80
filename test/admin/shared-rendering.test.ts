import { expect } from "chai";
import { describe, it } from "mocha";
import { sharedRendering } from "../../src/admin/shared-rendering.ts";
import { RENDERING_REST } from "../../src/limits.ts";
import { rejection } from "../support/rejection.ts";

describe("sharedRendering", () => {
  it("renders once for all waiting callers, and never returns a rendering that began before the call", async () => {
    let begun = 0;
    let finish = () => {};
    const render = sharedRendering(() => {
      const number = ++begun;
      return new Promise<number>((resolve) => {
        finish = () => resolve(number);
      });
    });
    const first = [render(), render(), render()];
    await new Promise(setImmediate);
    expect(begun).to.equal(1);
    // They are too late for it.
    const second = [render(), render()];
    finish();
    expect(await Promise.all(first)).to.deep.equal([1, 1, 1]);
    while (begun < 2) await new Promise(setImmediate);
    finish();
    expect(await Promise.all(second)).to.deep.equal([2, 2]);
  });

  it("pauses after a rendering for several times its duration", async () => {
    const spans: [number, number][] = [];
    const render = sharedRendering(async () => {
      const began = performance.now();
      while (performance.now() - began < 10);
      spans.push([began, performance.now()]);
    });
    for (let times = 0; times < 3; times++) await render();
    for (const [index, [began]] of spans.entries()) {
      const before = spans[index - 1];
      if (before !== undefined) expect(began - before[1]).to.be.at.least(RENDERING_REST * (before[1] - before[0]));
    }
    expect(spans).to.have.lengthOf(3);
  });

  it("rejects only the callers that waited for a failed rendering", async () => {
    let times = 0;
    const render = sharedRendering(async () => {
      if (++times === 1) throw new Error("no");
      return times;
    });
    const failed = [render(), render()];
    expect(await Promise.all(failed.map(rejection))).to.have.lengthOf(2);
    expect(await render()).to.equal(2);
  });
});
