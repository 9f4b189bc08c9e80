import { expect } from "chai";
import { SLOW_STREAM_MS } from "../../../src/client/check-stream.ts";
import { CHECK_STREAM_MS } from "../../../src/client/streamed-checks.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { type HeldStream, holdStreams } from "../held-streams.ts";
import { type OpenedSetup, Stage } from "../opened.ts";
import { answered, BAD, SECOND_MS, soon, ways } from "./scripted-answers.ts";

describe("checks over streams over one stream after the other", () => {
  const stage = new Stage();
  let clock: FakeClock;

  beforeEach(() => {
    clock = new FakeClock();
  });
  afterEach(() => stage.close());

  it("use the same stream while it responds", async () => {
    const { client, service } = await stage.scripted({ isBlacklisted: answered }, { clock });
    for (let count = 0; count < 20; count++) await client.isBlacklisted(`${count}`);
    expect([service.streams, ways(service)]).to.deep.equal([
      { begun: 1, open: 1, most: 1 },
      Array(20).fill("streamed"),
    ]);
  });

  for (const [random, lifetimeMs] of [
    [0, CHECK_STREAM_MS],
    [0.999, 8000],
  ] as const) {
    it(`use another stream after ${lifetimeMs / SECOND_MS} s if the random number is ${random}`, async () => {
      const setup: OpenedSetup = { clock, random: () => random };
      const { client, service } = await stage.scripted({ isBlacklisted: answered }, setup);
      const begun: number[] = [];
      for (let at = 0; at < 2 * lifetimeMs; at += SECOND_MS / 2) {
        await client.isBlacklisted("a");
        begun.push(service.streams.begun);
        clock.advance(SECOND_MS / 2);
      }
      const each = (2 * lifetimeMs) / SECOND_MS;
      expect(begun).to.deep.equal([...Array(each).fill(1), ...Array(each).fill(2)]);
      await soon(() => service.streams.open === 0, "the last one ends");
      expect(service.streams).to.deep.equal({ begun: 2, open: 0, most: 1 });
    });
  }

  it("let a slow stream end as soon as it has no unanswered question, and use the next one meanwhile", async () => {
    const { streams, take } = holdStreams();
    const { client } = await stage.scripted({}, { clock, streams: take });
    const slow = client.isBlacklisted("bad-1");
    await soon(() => streams.length === 1, "the first stream begins");
    const first = streams[0] as HeldStream;
    const [slowId] = await first.asked(1);
    clock.advance(SLOW_STREAM_MS);
    const next = client.isBlacklisted("bad-2", { maxStalenessMs: 1 });
    await soon(() => streams.length === 2, "the second stream begins");
    const second = streams[1] as HeldStream;
    const [nextId] = await second.asked(1);
    second.answer(nextId as number, BAD);
    expect([await next, first.left]).to.deep.equal([true, "no"]);
    first.answer(slowId as number, BAD);
    expect(await slow).to.equal(true);
    await first.isLeft("done");
    expect(second.left).to.equal("no");
  });

  it("let a stream end after a second or two without checks, and open another", async () => {
    const { client, service } = await stage.scripted({ isBlacklisted: answered }, { clock });
    await client.isBlacklisted("a");
    clock.advance(2 * SECOND_MS);
    await soon(() => service.streams.open === 0, "it has ended");
    await soon(() => clock.pendingTimers === 0, "the client knows, and waits for nothing");
    expect([await client.isBlacklisted("bad"), service.streams]).to.deep.equal([
      true,
      { begun: 2, open: 1, most: 1 },
    ]);
  });
});
