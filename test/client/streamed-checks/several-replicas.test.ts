import { expect } from "chai";
import { SLOW_STREAM_MS } from "../../../src/client/check-stream.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { until } from "../../support/until.ts";
import { type HeldStream, holdStreams } from "../held-streams.ts";
import { Stage } from "../opened.ts";
import { type ScriptedService, startScripted } from "../scripted-service.ts";
import { answered, FINE, SECOND_MS, soon, ways } from "./scripted-answers.ts";

describe("checks over streams to several replicas", () => {
  const stage = new Stage();
  let clock: FakeClock;

  beforeEach(() => {
    clock = new FakeClock();
  });
  afterEach(() => stage.close());

  it("one of which is older are answered by all, over streams and by calls", async () => {
    const services = [
      stage.use(await startScripted({ isBlacklisted: answered })),
      stage.use(await startScripted({ isBlacklisted: answered }, { streams: false })),
    ];
    const { client, events } = stage.client(
      services.map(({ address }) => address),
      { clock },
    );
    const answers = new Set<boolean>();
    const seen = () => new Set(services.flatMap((service, index) => ways(service).map((way) => index + way)));
    await until(
      async () => {
        answers.add(await client.isBlacklisted("a"));
        clock.advance(SECOND_MS / 2);
        return seen().size === 3;
      },
      { withinMs: 5000, what: "both replicas are called, over streams if they have them" },
    );
    expect([[...answers], [...seen()].sort(), events.filter(([name]) => name === "retried")]).to.deep.equal([
      [false],
      ["0called", "0streamed", "1called"],
      [],
    ]);
  });

  /** A service whose streams are held, beside one that answers; the client is connected to both. */
  async function besideHeld() {
    const { streams, take } = holdStreams();
    const held = stage.use(await startScripted({ isBlacklisted: answered }, { streams: take }));
    const well = stage.use(await startScripted({ isBlacklisted: answered }));
    const { client, events } = stage.client([held.address, well.address], { clock });
    /** A check whose question reaches the held service, on a new stream. */
    async function askHeld(): Promise<{ stream: HeldStream; check: Promise<boolean> }> {
      const known = streams.length;
      for (;;) {
        let isAnswered = false;
        const check = client.isBlacklisted("a").finally(() => {
          isAnswered = true;
        });
        await soon(() => isAnswered || streams.length > known, "it is asked or answered");
        const stream = streams[known];
        if (stream !== undefined) {
          await stream.asked(1);
          return { stream, check };
        }
        await leave(well);
      }
    }
    const leave = async (service: ScriptedService) => {
      clock.advance(2 * SECOND_MS);
      await soon(() => service.streams.open === 0, "the stream ends");
    };
    while (well.streams.begun === 0) {
      const { stream, check } = await askHeld();
      stream.answer(stream.questions[0]?.id as number, FINE);
      await check;
      clock.advance(2 * SECOND_MS);
      stream.end();
      await leave(held);
    }
    well.forget();
    return { client, events, askHeld, well };
  }

  it("use another replica 50 ms after an unanswered question, and retry that question after half of its time", async () => {
    const { client, events, askHeld, well } = await besideHeld();
    const { stream, check } = await askHeld();
    stream.answer(stream.questions[0]?.id as number, FINE);
    await check;
    well.forget();
    clock.advance(1);
    // Each with another freshness, so that none waits for another's response.
    const silent = client.isBlacklisted("bad-1", { maxStalenessMs: 1 });
    await stream.asked(2);
    clock.advance(SLOW_STREAM_MS - 1);
    const last = client.isBlacklisted("bad-2", { maxStalenessMs: 2 });
    await stream.asked(3);
    clock.advance(1);
    const next = await client.isBlacklisted("bad-3", { maxStalenessMs: 3 });
    const asked = well.calls.length;
    clock.advance(SECOND_MS - SLOW_STREAM_MS);
    expect([await silent, asked, stream.questions.length, next]).to.deep.equal([true, 1, 3, true]);
    clock.advance(SLOW_STREAM_MS);
    expect([await last, ways(well)]).to.deep.equal([true, Array(3).fill("streamed")]);
    await stream.isLeft("cancelled");
    expect(events.flatMap(([name, event]) => (name === "retried" ? [event] : []))).to.deep.equal(
      Array(2).fill({ code: "DEADLINE_EXCEEDED", waitMs: 0 }),
    );
  });

  it("do not back off from streams because of an unresponsive replica while another responds", async () => {
    const { client, askHeld, well } = await besideHeld();
    const { check } = await askHeld();
    well.forget();
    clock.advance(SLOW_STREAM_MS);
    await client.isBlacklisted("bad-2", { maxStalenessMs: 1 });
    clock.advance(SECOND_MS - SLOW_STREAM_MS);
    expect([await check, await client.isBlacklisted("bad-3"), ways(well)]).to.deep.equal([
      false,
      true,
      Array(3).fill("streamed"),
    ]);
  });
});
