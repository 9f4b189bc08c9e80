import { setImmediate as turn } from "node:timers/promises";
import { expect } from "chai";
import { SLOW_STREAM_MS } from "../../../src/client/check-stream.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { failure } from "../failure.ts";
import { holdStreams } from "../held-streams.ts";
import { Stage } from "../opened.ts";
import { answered, SECOND_MS, soon, ways } from "./scripted-answers.ts";

describe("checks over streams over a stream that never responds", () => {
  const stage = new Stage();
  let clock: FakeClock;

  beforeEach(() => {
    clock = new FakeClock();
  });
  afterEach(() => stage.close());

  it("are calls after half of the first one's time, and for one back-off, however many were lost", async () => {
    const { streams, take } = holdStreams();
    const { client, service } = await stage.scripted({ isBlacklisted: answered }, { clock, streams: take });
    // Each with another freshness, so that none waits for another's response.
    const checks = [client.isBlacklisted("bad-0")];
    for (let count = 1; count <= 3; count++) {
      await soon(() => streams.length === count, "a stream begins");
      await streams[count - 1]?.asked(1);
      clock.advance(SLOW_STREAM_MS + 10);
      checks.push(client.isBlacklisted(`bad-${count}`, { maxStalenessMs: count }));
    }
    await soon(() => streams.length === 4, "the last stream begins");
    await streams[3]?.asked(1);
    // The first is abandoned at one second, and the last as long after it as it was made.
    const later = 3 * (SLOW_STREAM_MS + 10);
    clock.advance(SECOND_MS - later);
    await turn();
    clock.advance(later);
    expect([await Promise.all(checks), ways(service)]).to.deep.equal([
      Array(4).fill(true),
      Array(4).fill("called"),
    ]);
    // The back-off began when the first of them was abandoned.
    clock.advance(SECOND_MS - later - 1);
    await client.isBlacklisted("a");
    expect(streams).to.have.length(4);
    clock.advance(1);
    void client.isBlacklisted("a").catch(() => {});
    await soon(() => streams.length === 5, "a stream is tried again");
    await soon(() => service.streams.open === 1, "nothing is left of the others");
  });

  it("fail closed if there is no time for another way, and those after them are calls", async () => {
    const { streams, take } = holdStreams();
    const { client, service } = await stage.scripted({ isBlacklisted: answered }, { clock, streams: take });
    const timeoutMs = 100;
    const lost = failure(client.isBlacklisted("a", { timeoutMs }));
    await soon(() => streams.length === 1, "the stream begins");
    await streams[0]?.asked(1);
    clock.advance(timeoutMs);
    const { code } = await lost;
    expect([code, await client.isBlacklisted("bad", { timeoutMs }), ways(service)]).to.deep.equal([
      "DEADLINE_EXCEEDED",
      true,
      ["called"],
    ]);
  });

  it("are calls even after a cancelled check, or the failure would never be detected", async () => {
    const { streams, take } = holdStreams();
    const { client, service } = await stage.scripted({ isBlacklisted: answered }, { clock, streams: take });
    const caller = new AbortController();
    const lost = failure(client.isBlacklisted("a", { signal: caller.signal }));
    await soon(() => streams.length === 1, "the stream begins");
    await streams[0]?.asked(1);
    caller.abort();
    const { code } = await lost;
    await streams[0]?.isLeft("cancelled");
    expect([code, await client.isBlacklisted("bad"), ways(service)]).to.deep.equal([
      "CANCELLED",
      true,
      ["called"],
    ]);
  });

  it("keep few streams during many deadlines of one millisecond, and leave none behind", async () => {
    const { streams, take } = holdStreams();
    const { client, service } = await stage.scripted({ isBlacklisted: answered }, { streams: take });
    let wrong = 0;
    const checks: Promise<unknown>[] = [];
    for (let round = 0; round < 40; round++) {
      for (let index = 0; index < 100; index++) {
        const check = client.isBlacklisted(`bad-${round}-${index}`, {
          timeoutMs: 1,
          maxStalenessMs: 1 + (index % 5),
        });
        checks.push(
          check.then(
            (answer) => {
              if (!answer) wrong++;
            },
            () => {},
          ),
        );
      }
      await turn();
    }
    await Promise.all(checks);
    await soon(() => service.streams.open === 0, "none is left");
    expect([wrong, streams.length <= 5, await client.isBlacklisted("bad")]).to.deep.equal([0, true, true]);
  });
});
