import { once } from "node:events";
import { type ClientHttp2Stream, constants } from "node:http2";
import { create } from "@bufbuild/protobuf";
import { expect } from "chai";
import { StreamChecksRequestSchema, Verdict } from "../../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { STREAM_TICK_MS } from "../../../src/grpc/stream-call.ts";
import { MAX_STREAM_STALL_MS, MAX_UNSENT_BYTES, STREAM_END_MS } from "../../../src/limits.ts";
import { encode } from "../../../src/protobuf/service-definition.ts";
import { type Answer, CheckCallStage, FINE, many, PATIENCE } from "../../support/check-call-stage.ts";
import { framed, type Http2Connection } from "../../support/http2-call.ts";
import { memoryInUse } from "../../support/memory-in-use.ts";
import { ends } from "../../support/stream-end.ts";
import { until } from "../../support/until.ts";

/** A connection whose streams send many questions and read nothing. */
interface Greedy {
  readonly connection: Http2Connection;
  readonly streams: readonly ClientHttp2Stream[];
}

describe("the streams of StreamChecks of clients that do not read", () => {
  let stage: CheckCallStage;

  beforeEach(async () => {
    stage = await CheckCallStage.open();
    given = 0;
    stage.atOnce = ({ jtis }) => {
      if (jtis[0] === "marker") return FINE;
      given++;
      return LARGE;
    };
  });
  afterEach(() => stage.close());

  /** Some 12 kB, so that a connection's window holds five. */
  const LARGE: Answer = {
    verdicts: Array.from({ length: 1000 }, () => Verdict.NOT_BLACKLISTED),
    revision: "r".repeat(11_000),
  };
  /** The number of questions that were answered with it. */
  let given: number;
  /** Advances the clock in steps, each of which lets everything happen that can. */
  const goOn = (ms: number) => {
    for (let waited = 0; waited < ms; waited += STREAM_TICK_MS) stage.clock.advance(STREAM_TICK_MS);
  };
  const streamEnds = () =>
    stage.log
      .records()
      .flatMap(({ method, reason, code, detail }) =>
        method === "StreamChecks" && String(detail).startsWith("the client reads none")
          ? [`${code} ${reason}`]
          : [],
      );

  async function openStuck(count = 200) {
    const opened = await stage.openBare(many(count));
    await once(opened.stream, "response");
    opened.stream.pause();
    await settled();
    return opened;
  }

  const held = async () => {
    const { external, heapUsed } = await memoryInUse();
    return external + heapUsed;
  };

  /** Other connections are served, and no more questions are read meanwhile. */
  async function settled(): Promise<void> {
    for (let seen = -1; seen !== given; ) {
      seen = given;
      for (let round = 0; round < 10; round++) await stage.arrived();
    }
  }

  it("have at most 64 buffered answers, end with OVERLOADED, and are disconnected if they do not read that either", async () => {
    await openStuck();
    const answered = given;
    expect(answered).to.be.within(64, 64 + 10);
    goOn(MAX_STREAM_STALL_MS - STREAM_TICK_MS);
    expect([streamEnds(), stage.disconnected.length]).to.deep.equal([[], 0]);
    goOn(2 * STREAM_TICK_MS);
    expect([streamEnds(), stage.disconnected.length]).to.deep.equal([["RESOURCE_EXHAUSTED OVERLOADED"], 0]);
    await stage.arrived();
    expect(given).to.equal(answered);
    goOn(STREAM_END_MS);
    expect(stage.disconnected).to.have.length(1);
    expect([stage.admission.active, stage.clock.pendingTimers]).to.deep.equal([0, 0]);
  });

  it("are not disconnected if they then read the end", async () => {
    const { stream } = await openStuck();
    goOn(MAX_STREAM_STALL_MS + STREAM_TICK_MS);
    expect(streamEnds()).to.deep.equal(["RESOURCE_EXHAUSTED OVERLOADED"]);
    const trailers = once(stream, "trailers");
    stream.resume();
    expect((await trailers)[0]).to.include({ "grpc-status": "8" });
    await stage.nothingIsLeft();
    goOn(2 * STREAM_END_MS);
    expect(stage.disconnected).to.deep.equal([]);
  });

  it("are served completely if they read slowly", async () => {
    const { stream } = await openStuck();
    let bytes = 0;
    stream.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      stream.pause();
    });
    while (bytes < 200 * 12_000) {
      const before = bytes;
      stream.resume();
      await until(() => bytes > before, { ...PATIENCE, what: "more bytes have arrived" });
      await stage.arrived();
      stage.clock.advance(STREAM_TICK_MS);
    }
    expect([
      given,
      stage.clock.monotonic() > 2 * MAX_STREAM_STALL_MS,
      streamEnds(),
      stage.disconnected,
    ]).to.deep.equal([200, true, [], []]);
  });

  const amends: Record<string, (greedy: Greedy) => unknown> = {
    "the client reads them": ({ streams }) => streams.map((stream) => stream.resume()),
    "it cancels": ({ streams }) => streams.map((stream) => stream.close(constants.NGHTTP2_CANCEL)),
    "it resets the streams": ({ streams }) =>
      streams.map((stream) => stream.close(constants.NGHTTP2_INTERNAL_ERROR)),
    "it disconnects": ({ connection }) => connection.close(),
  };
  for (const [what, make] of Object.entries(amends)) {
    it(`have their unread answers counted per connection: above 4 MiB its questions are refused until ${what}`, async () => {
      const huge = "r".repeat(40_000);
      stage.atOnce = ({ jtis }) => ({ verdicts: [], revision: jtis[0] === "marker" ? "" : huge });
      const refused = () =>
        stage.log
          .records()
          .filter(
            ({ detail }) =>
              detail === "too many calls are in flight, or the client leaves too many responses unread",
          );
      const { connection, stream } = await stage.openBare(many(100));
      const streams = [stream, stage.begin(connection, many(100))];
      for (const one of streams) one.pause();
      await until(() => refused().length > 0, { ...PATIENCE, what: "a question is refused" });
      expect([...new Set(refused().map(({ method, code }) => `${method} ${code}`))]).to.deep.equal([
        "IsBlacklisted RESOURCE_EXHAUSTED",
      ]);
      const peer = String(refused()[0]?.peer);
      expect(stage.admission.mayBuffer(peer)).to.equal(false);
      // No other connection's questions are.
      const asker = stage.asker();
      expect(await asker.ask({ jtis: ["other"] })).to.deep.equal({ verdicts: [], revision: huge });
      await make({ connection, streams });
      const isNothingHeld = () => {
        const letGo = stage.admission.bufferAnswer(peer, MAX_UNSENT_BYTES - 1);
        const mayBuffer = stage.admission.mayBuffer(peer);
        letGo();
        return mayBuffer;
      };
      await until(isNothingHeld, { ...PATIENCE, what: "no bytes are counted" });
      expect(await asker.done()).to.deep.equal(ends("OK"));
    });
  }

  it("use a bounded share of the memory even with questions of the maximum size", async function () {
    this.timeout(60_000);
    const jtis = Array.from({ length: 2_000_000 }, () => "");
    const message = encode(
      StreamChecksRequestSchema,
      create(StreamChecksRequestSchema, { question: { jtis } }),
    );
    const bytes = framed(message);
    // Some of these are read, sixteen more are buffered, and the rest waits in the client.
    const { stream } = await openStuck(66);
    const before = await held();
    for (let count = 0; count < 30; count++) stream.write(bytes);
    const refusals = () => stage.log.records().filter(({ code }) => code === "INVALID_ARGUMENT").length;
    await until(() => refusals() >= 3, { ...PATIENCE, what: "the first of them are read" });
    await settled();
    expect((await held()) - before).to.be.below(30_000_000);
  });

  it("use a bounded share of the memory", async () => {
    await openStuck();
    const before = await held();
    await openStuck();
    await openStuck();
    // 64 answers each, and their copies at both ends of the connections.
    expect((await held()) - before).to.be.below(2 * 3_000_000);
  });
});
