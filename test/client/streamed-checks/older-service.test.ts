import { expect } from "chai";
import { MAX_UNARY_CHECKS_MS, UNARY_CHECKS_MS } from "../../../src/client/streamed-checks.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { type HeldStream, holdStreams } from "../held-streams.ts";
import { Stage } from "../opened.ts";
import { startScripted } from "../scripted-service.ts";
import { answered, FINE, soon, ways } from "./scripted-answers.ts";

describe("checks over streams to a service without streams", () => {
  const stage = new Stage();
  let clock: FakeClock;

  beforeEach(() => {
    clock = new FakeClock();
  });
  afterEach(() => stage.close());

  it("are calls, and none of them fails or waits", async () => {
    const { client, service } = await stage.scripted({ isBlacklisted: answered }, { clock, streams: false });
    const answers = [];
    for (const jti of ["a", "bad", "b"]) answers.push(await client.isBlacklisted(jti));
    expect([answers, ways(service), clock.monotonic()]).to.deep.equal([
      [false, true, false],
      Array(3).fill("called"),
      0,
    ]);
  });

  it("try a stream once per back-off, which doubles each time, up to a minute", async () => {
    const { streams, take } = holdStreams();
    const tried: number[] = [];
    const { client, service } = await stage.scripted(
      { isBlacklisted: answered },
      {
        clock,
        streams(call) {
          tried.push(clock.monotonic());
          take(call);
          streams.at(-1)?.fail("UNIMPLEMENTED");
        },
      },
    );
    const step = UNARY_CHECKS_MS;
    while (clock.monotonic() < 4 * MAX_UNARY_CHECKS_MS) {
      await Promise.all([client.isBlacklisted("a"), client.isBlacklisted("b", { maxStalenessMs: 5 })]);
      clock.advance(step);
    }
    const rests = tried.slice(1).map((at, index) => at - (tried[index] as number));
    expect(rests).to.deep.equal([1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
    expect(new Set(ways(service))).to.deep.equal(new Set(["called"]));
  });

  it("back off for only a second if a stream has responded since the last back-off", async () => {
    const { streams, take } = holdStreams();
    const tried: number[] = [];
    let isOld = true;
    const { client } = await stage.scripted(
      { isBlacklisted: answered },
      {
        clock,
        streams(call) {
          tried.push(clock.monotonic());
          take(call);
          const stream = streams.at(-1) as HeldStream;
          if (isOld) stream.fail("UNIMPLEMENTED");
          else call.on("data", ({ id }) => stream.answer(id, FINE));
        },
      },
    );
    const step = UNARY_CHECKS_MS;
    for (let at = 0; at < 18 * step; at += step) {
      // It receives only those that begin in the fourth second.
      isOld = at !== 3 * step;
      expect(await client.isBlacklisted("a")).to.equal(false);
      clock.advance(step);
    }
    expect(tried.map((at) => at / step)).to.deep.equal([0, 1, 3, 12, 13, 15]);
  });

  it("use streams again after an upgrade", async () => {
    const older = await startScripted({ isBlacklisted: answered }, { streams: false });
    const { port } = new URL(`http://${older.address}`);
    const { client } = stage.client(older.address, { clock });
    for (let rest = UNARY_CHECKS_MS; rest <= 4 * UNARY_CHECKS_MS; rest *= 2) {
      await client.isBlacklisted("a");
      clock.advance(rest);
    }
    older.stop();
    await soon(() => client.state === "unavailable", "the client has noticed");
    const newer = stage.use(await startScripted({ isBlacklisted: answered }, { port: Number(port) }));
    await soon(() => client.state === "ready", "the client is connected again");
    expect([await client.isBlacklisted("bad"), ways(newer)]).to.deep.equal([true, ["streamed"]]);
  });
});
