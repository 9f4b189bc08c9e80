import { expect } from "chai";
import { FakeClock } from "../../support/fake-clock.ts";
import { holdStreams } from "../held-streams.ts";
import { Stage } from "../opened.ts";
import type { ScriptedService } from "../scripted-service.ts";
import { answered, soon, ways } from "./scripted-answers.ts";

const traceparents = ({ metadata }: ScriptedService["calls"][number]) => metadata.get("traceparent");

describe("checks over streams", () => {
  const stage = new Stage();
  let clock: FakeClock;

  beforeEach(() => {
    clock = new FakeClock();
  });
  afterEach(() => stage.close());

  it("send each caller's metadata on the same stream", async () => {
    let made = 0;
    const { client, service } = await stage.scripted(
      { isBlacklisted: answered },
      { metadata: () => ({ traceparent: `00-1-${++made}-01` }) },
    );
    for (const jti of ["a", "bad"]) await client.isBlacklisted(jti);
    expect([ways(service), service.streams.begun, service.calls.map(traceparents)]).to.deep.equal([
      ["streamed", "streamed"],
      1,
      [["00-1-1-01"], ["00-1-2-01"]],
    ]);
  });

  it("send each caller's metadata as calls, too, when a stream does not respond", async () => {
    const { streams, take } = holdStreams();
    const { client, service } = await stage.scripted(
      { isBlacklisted: answered },
      { clock, metadata: () => ({ traceparent: "00-1-2-01" }), streams: take },
    );
    const check = client.isBlacklisted("bad");
    await soon(() => streams.length === 1, "the stream begins");
    streams[0]?.fail("UNIMPLEMENTED");
    expect([await check, ways(service), service.calls.map(traceparents)]).to.deep.equal([
      true,
      ["called"],
      [["00-1-2-01"]],
    ]);
  });
});
