import { PassThrough } from "node:stream";
import { expect } from "chai";
import type { CliIo } from "../../src/cli/io.ts";
import { OutageRetry } from "../../src/cli/retry.ts";
import { ClientError } from "../../src/client/client-error.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { turn } from "../support/held-store.ts";
import { rejection } from "../support/rejection.ts";

const away = new ClientError("UNAVAILABLE", "away");

describe("OutageRetry", () => {
  let clock: FakeClock;
  let interrupted: AbortController;
  let persistence: OutageRetry;
  let calls: number;

  beforeEach(() => {
    clock = new FakeClock();
    interrupted = new AbortController();
    calls = 0;
    const stream = new PassThrough();
    const io: CliIo = {
      ...{ stdin: stream, stdout: stream, stderr: stream, env: {}, version: "" },
      ...{ clock, signal: interrupted.signal, serve: async () => 0, migrate: async () => 0 },
    };
    persistence = new OutageRetry(io);
  });

  const failing = (error: Error) => async () => {
    calls++;
    throw error;
  };

  it("gives up a minute after the last response, with the last error", async () => {
    await persistence.run(async () => "an answer");
    const ended = rejection(persistence.run(failing(away)));
    let seconds = 0;
    for (let done = false; !done; seconds++) {
      clock.advance(1000);
      await turn();
      done = clock.pendingTimers === 0;
    }
    expect(await ended).to.equal(away);
    expect(seconds).to.be.within(60, 64);
    expect(calls).to.be.within(30, 40);
  });

  it("retries nothing before the first response, and no permanent failure", async () => {
    const errors = [
      new ClientError("INVALID_ARGUMENT", "wrong"),
      new ClientError("RESOURCE_EXHAUSTED", "spent", { reason: "QUOTA_EXCEEDED" }),
      new ClientError("INTERNAL", "broken"),
      new Error("a bug"),
    ];
    expect(await rejection(persistence.run(failing(away)))).to.equal(away);
    await persistence.run(async () => "an answer");
    for (const error of errors) expect(await rejection(persistence.run(failing(error)))).to.equal(error);
    expect(calls).to.equal(1 + errors.length);
  });

  it("stops waiting on an interrupt", async () => {
    await persistence.run(async () => "an answer");
    const ended = rejection(persistence.run(failing(away)));
    await turn();
    interrupted.abort();
    expect([await ended, clock.pendingTimers]).to.deep.equal([away, 0]);
  });
});
