import { expect } from "chai";
import {
  MAX_QUEUED_RAW_TOKENS,
  MAX_VERIFICATIONS,
  VerificationQueue,
} from "../../src/auth/verification-queue.ts";
import type { ServiceError } from "../../src/errors.ts";
import { reasonOf, rejection } from "../support/rejection.ts";

describe("VerificationQueue", () => {
  let queue: VerificationQueue;

  beforeEach(() => {
    queue = new VerificationQueue();
  });

  const caller = (name: string, isGone = false) => ({ isGone, principal: { name } });
  const eventLoop = () => new Promise<void>((resolve) => setImmediate(resolve));

  it("alternates between principals, however many tokens each has", async () => {
    const done: string[] = [];
    const run = (name: string, count: number) =>
      Promise.all(Array.from({ length: count }, () => queue.run(caller(name), () => void done.push(name))));
    const greedy = run("greedy", 1000);
    await Promise.all([run("a", 2), run("b", 1)]);
    expect(done.length).to.be.below(12);
    await greedy;
    expect(done).to.have.length(1003);
  });

  it("lets the event loop continue between two verifications", async () => {
    let turns = 0;
    let isOver = false;
    const count = () => {
      turns++;
      if (!isOver) setImmediate(count);
    };
    setImmediate(count);
    await Promise.all(Array.from({ length: 100 }, () => queue.run(caller("a"), () => {})));
    isOver = true;
    expect(turns).to.be.at.least(99);
  });

  it("runs a limited number at once", async () => {
    const ends: (() => void)[] = [];
    const all = Array.from({ length: 10 }, (_, index) =>
      queue.run(caller(`caller ${index % 3}`), () => new Promise<void>((resolve) => ends.push(resolve))),
    );
    for (let times = 0; times < 20; times++) await eventLoop();
    expect(ends).to.have.length(MAX_VERIFICATIONS);
    while (ends.length > 0) {
      ends.shift()?.();
      for (let times = 0; times < 3; times++) await eventLoop();
    }
    await Promise.all(all);
  });

  it("continues after a failure, and reports it to its caller", async () => {
    const failing = queue.run(caller("a"), () => {
      throw new Error("broken");
    });
    const next = queue.run(caller("a"), () => "done");
    expect([((await rejection(failing)) as Error).message, await next]).to.deep.equal(["broken", "done"]);
  });

  it("skips cancelled callers without delaying others", async () => {
    let done = 0;
    const gone = Array.from({ length: 1000 }, () =>
      reasonOf(queue.run(caller("a", true), () => void done++)),
    );
    await queue.run(caller("a"), () => {});
    expect([new Set(await Promise.all(gone)), done]).to.deep.equal([new Set(["CANCELLED"]), 0]);
  });

  it("bounds the queued tokens, and reserves places for other callers", async () => {
    let end = () => {};
    const held = new Promise<void>((resolve) => {
      end = resolve;
    });
    const waiting: Promise<void>[] = [];
    const reserve = (name: string) => queue.reserve(100, caller(name), () => held);
    let refused: ServiceError | undefined;
    while (refused === undefined) {
      const one = reserve("greedy").catch((error: ServiceError) => {
        refused = error;
      });
      waiting.push(one);
      await Promise.resolve();
      await eventLoop();
    }
    expect(refused.reason).to.equal("OVERLOADED");
    expect(waiting.length - 1).to.equal((MAX_QUEUED_RAW_TOKENS / 100) * 0.75);
    const other = reserve("other");
    end();
    await Promise.all([...waiting, other]);
    await reserve("greedy");
  });
});
