import { getEventListeners } from "node:events";
import { expect } from "chai";
import { onAbort } from "../../src/client/on-abort.ts";

describe("waiting for an AbortSignal", () => {
  it("adds one listener for any number of waits, and removes it after the last", () => {
    const { signal } = new AbortController();
    const counts: number[] = [];
    const count = () => counts.push(getEventListeners(signal, "abort").length);
    for (let round = 0; round < 2; round++) {
      const unlisten = Array.from({ length: 1000 }, () => onAbort(signal, () => {}));
      count();
      for (const [index, stop] of unlisten.entries()) {
        stop();
        if (index === 998) count();
      }
      count();
    }
    expect(counts).to.deep.equal([1, 1, 0, 1, 1, 0]);
  });

  it("notifies every current wait, once", () => {
    const told: string[] = [];
    const controller = new AbortController();
    const { signal } = controller;
    const stop = {
      a: onAbort(signal, () => told.push("a")),
      b: onAbort(signal, () => {
        told.push("b");
        // A notified wait is over.
        stop.b();
        stop.c();
      }),
      c: onAbort(signal, () => told.push("c")),
      d: onAbort(signal, () => told.push("d")),
    };
    stop.a();
    controller.abort();
    controller.abort();
    stop.d();
    stop.a();
    expect(told).to.deep.equal(["b", "d"]);
  });

  it("does nothing without a signal", () => {
    onAbort(undefined, () => {
      throw new Error("there is no signal");
    })();
  });
});
