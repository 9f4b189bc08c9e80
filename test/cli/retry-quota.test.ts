import { PassThrough } from "node:stream";
import { expect } from "chai";
import { retryQuota } from "../../src/cli/retry.ts";
import { ClientError } from "../../src/client/client-error.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { turn } from "../support/held-store.ts";
import { rejection } from "../support/rejection.ts";

const spent = (retryAfterMs?: number) =>
  new ClientError("RESOURCE_EXHAUSTED", "spent", { reason: "QUOTA_EXCEEDED", retryAfterMs });

describe("retryQuota", () => {
  let clock: FakeClock;
  let interrupted: AbortController;
  let failures: unknown[];
  let calls: number;

  beforeEach(() => {
    clock = new FakeClock();
    interrupted = new AbortController();
    failures = [];
    calls = 0;
  });

  function run(): Promise<string> {
    const stream = new PassThrough();
    const io = {
      ...{ stdin: stream, stdout: stream, stderr: stream, env: {}, version: "" },
      ...{ clock, signal: interrupted.signal, serve: async () => 0, migrate: async () => 0 },
    };
    return retryQuota(io, async () => {
      calls++;
      const [failure] = failures.splice(0, 1);
      if (failure !== undefined) throw failure;
      return "done";
    });
  }

  it("retries after the requested delay, as often as necessary", async () => {
    failures = [spent(500), spent(30_000)];
    const running = run();
    for (const [wait, already] of [
      [500, 1],
      [30_000, 2],
    ] as const) {
      await turn();
      clock.advance(wait - 1);
      await turn();
      expect(calls).to.equal(already);
      clock.advance(1);
    }
    expect([await running, calls, clock.pendingTimers]).to.deep.equal(["done", 3, 0]);
  });

  it("does not retry other failures, nor long or absent delays", async () => {
    const others = [
      spent(30_001),
      spent(),
      new ClientError("RESOURCE_EXHAUSTED", "full", { reason: "OVERLOADED", retryAfterMs: 250 }),
      new ClientError("UNAVAILABLE", "away", { retryAfterMs: 500 }),
      new Error("a bug"),
    ];
    for (const error of others) {
      failures = [error];
      expect(await rejection(run())).to.equal(error);
    }
    expect(calls).to.equal(others.length);
  });

  it("neither spins nor waits forever if the service always requests a retry", async () => {
    for (const retryAfterMs of [0, -1, -(2 ** 31), 1]) {
      [calls, failures] = [0, [spent(retryAfterMs)]];
      const running = run();
      await turn();
      clock.advance(49);
      await turn();
      expect(calls).to.equal(1);
      clock.advance(1);
      expect([await running, calls]).to.deep.equal(["done", 2]);
    }
    const last = spent(30_000);
    [calls, failures] = [0, Array.from({ length: 100_000 }, () => last)];
    const began = clock.monotonic();
    let ended = false;
    const running = rejection(run()).finally(() => {
      ended = true;
    });
    while (!ended) {
      await turn();
      clock.advance(30_000);
    }
    expect(await running).to.equal(last);
    expect(clock.monotonic() - began).to.be.within(10 * 60_000, 11 * 60_000);
    for (const retryAfterMs of [Number.NaN, 2 ** 31, Number.POSITIVE_INFINITY]) {
      const error = spent(retryAfterMs);
      failures = [error];
      expect(await rejection(run())).to.equal(error);
    }
  });

  it("stops waiting on an interrupt", async () => {
    const last = spent(500);
    failures = [spent(500), last];
    const running = rejection(run());
    await turn();
    interrupted.abort();
    expect([await running, calls, clock.pendingTimers]).to.deep.equal([last, 2, 0]);
  });
});
