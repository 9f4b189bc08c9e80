import { expect } from "chai";
import { FakeClock } from "../../support/fake-clock.ts";
import { failure } from "../failure.ts";
import { holdStreams } from "../held-streams.ts";
import { Stage } from "../opened.ts";
import { answered, FINE, SECOND_MS, soon } from "./scripted-answers.ts";

describe("checks over streams when the client is closed", () => {
  const stage = new Stage();
  let clock: FakeClock;

  beforeEach(() => {
    clock = new FakeClock();
  });
  afterEach(() => stage.close());

  it("reject, and leave no stream behind, not even one that is about to end", async () => {
    const { streams, take } = holdStreams();
    const { client, service } = await stage.scripted({ isBlacklisted: answered }, { clock, streams: take });
    const first = client.isBlacklisted("a");
    await soon(() => streams.length === 1, "the first stream begins");
    streams[0]?.answer((await streams[0].asked(1))[0] as number, FINE);
    await first;
    clock.advance(2 * SECOND_MS);
    await streams[0]?.isLeft("done");
    const pending = failure(client.isBlacklisted("b"));
    await soon(() => streams.length === 2, "the second stream begins");
    await streams[1]?.asked(1);
    client.close();
    const { code } = await pending;
    await soon(() => service.streams.open === 0, "the service has none left");
    expect([code, clock.pendingTimers, (await failure(client.isBlacklisted("c"))).code]).to.deep.equal([
      "CANCELLED",
      0,
      "CANCELLED",
    ]);
  });
});
