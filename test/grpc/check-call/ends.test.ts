import { expect } from "chai";
import { Verdict } from "../../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { type Principal, UNRESTRICTED_PRINCIPAL } from "../../../src/caller.ts";
import { STREAM_TICK_MS } from "../../../src/grpc/stream-call.ts";
import { MAX_STREAM_STALL_MS, STREAM_END_MS } from "../../../src/limits.ts";
import { CheckCallStage, FINE, MAX_STREAMS, many, PATIENCE } from "../../support/check-call-stage.ts";
import { ends } from "../../support/stream-end.ts";
import { until } from "../../support/until.ts";

describe("the streams of StreamChecks and their end", () => {
  let stage: CheckCallStage;

  beforeEach(async () => {
    stage = await CheckCallStage.open();
  });
  afterEach(() => stage.close());

  it("answer all questions after the client has half-closed, and then end with OK", async () => {
    const asker = stage.asker();
    const outcomes = stage.askMany(asker, 100);
    const ended = asker.done();
    for (let next = 0; next < 100; next++) {
      await stage.reached(next + 1);
      stage.asked[next]?.answer();
    }
    expect([await Promise.all(outcomes), await ended]).to.deep.equal([many(100).map(() => FINE), ends("OK")]);
    await stage.nothingIsLeft();
  });

  it("end with OK without any question, and leave no timer", async () => {
    expect(await stage.asker().done()).to.deep.equal(ends("OK"));
    await stage.nothingIsLeft();
  });

  for (const [what, count] of [
    ["some questions are open", 3],
    ["more questions are sent than are read", 100],
  ] as const) {
    it(`leave nothing behind when the client cancels while ${what}`, async () => {
      const asker = stage.asker();
      const outcomes = stage.askMany(asker, count);
      await stage.reached(Math.min(count, 64));
      asker.cancel();
      expect(await asker.ended).to.deep.equal(ends("CANCELLED"));
      await stage.nothingIsLeft();
      expect(stage.asked.map(({ caller }) => caller.isGone)).to.deep.equal(stage.asked.map(() => true));
      for (const held of stage.asked) held.answer();
      expect(await Promise.all(outcomes)).to.deep.equal(outcomes.map(() => "unanswered"));
      await thereIsRoom();
      stage.clock.advance(2 * STREAM_END_MS);
      expect([stage.disconnected, stage.names]).to.deep.equal([[], many(Math.min(count, 64))]);
    });

    it(`leave nothing behind when the connection closes while ${what}`, async () => {
      const { connection } = await stage.openBare(many(count));
      await stage.reached(Math.min(count, 64));
      await connection.close();
      await stage.nothingIsLeft();
      expect(stage.asked.map(({ caller }) => caller.isGone)).to.deep.equal(stage.asked.map(() => true));
      for (const held of stage.asked) held.answer();
      await thereIsRoom();
      expect(stage.disconnected).to.deep.equal([]);
    });
  }

  /** The maximum of concurrent streams. */
  async function thereIsRoom(): Promise<void> {
    stage.atOnce = () => FINE;
    const askers = Array.from({ length: MAX_STREAMS }, () => stage.asker());
    for (const asker of askers) expect(await asker.verdicts("a")).to.deep.equal([Verdict.NOT_BLACKLISTED]);
    for (const asker of askers) await asker.done();
    await stage.nothingIsLeft();
  }

  it("end at the client's deadline, with or without open questions", async () => {
    const [busy, idle] = [stage.asker({ timeoutMs: 300 }), stage.asker({ timeoutMs: 300 })];
    const outcomes = stage.askMany(busy, 100);
    await stage.reached(64);
    expect([(await busy.ended).code, (await idle.ended).code]).to.deep.equal([
      "DEADLINE_EXCEEDED",
      "DEADLINE_EXCEEDED",
    ]);
    await stage.nothingIsLeft();
    for (const held of stage.asked) held.answer();
    expect([...new Set(await Promise.all(outcomes))]).to.deep.equal(["unanswered"]);
    await thereIsRoom();
    expect(stage.disconnected).to.deep.equal([]);
  });

  it("end when the replica drains, once earlier questions are answered, and accept no more", async () => {
    const [busy, full, idle] = [stage.asker(), stage.asker(), stage.asker()];
    const outcomes = stage.askMany(busy, 3);
    await stage.reached(3);
    const more = stage.askMany(full, 100, 10);
    await stage.reached(67);
    stage.streams.drain();
    expect(await idle.ended).to.deep.equal(ends("UNAVAILABLE", "DRAINING"));
    const tooLate = stage.askMany(busy, 3, 200);
    stage.atOnce = () => {
      throw new Error("asked all the same");
    };
    for (const held of stage.asked) held.answer();
    expect([await busy.ended, await full.ended]).to.deep.equal([
      ends("UNAVAILABLE", "DRAINING"),
      ends("UNAVAILABLE", "DRAINING"),
    ]);
    expect(await Promise.all([...outcomes, ...tooLate])).to.deep.equal([
      ...[FINE, FINE, FINE],
      ...["unanswered", "unanswered", "unanswered"],
    ]);
    expect(await Promise.all(more)).to.deep.equal([
      ...many(64).map(() => FINE),
      ...many(36).map(() => "unanswered"),
    ]);
    await stage.nothingIsLeft();
  });

  it("end when the replica drains even if their caller is still being authenticated", async () => {
    let know = (_: Principal) => {};
    let isAsked = false;
    stage.authenticate = () => {
      isAsked = true;
      return new Promise((resolve) => {
        know = resolve;
      });
    };
    const asker = stage.asker();
    const outcome = asker.ask({ jtis: ["a"] });
    await until(() => isAsked, { ...PATIENCE, what: "the caller is being authenticated" });
    stage.streams.drain();
    know(UNRESTRICTED_PRINCIPAL);
    expect([await asker.ended, await outcome, stage.asked]).to.deep.equal([
      ends("UNAVAILABLE", "DRAINING"),
      "unanswered",
      [],
    ]);
    await stage.nothingIsLeft();
  });

  it("stay open while there are no questions for a long time", async () => {
    const asker = stage.asker();
    stage.atOnce = () => FINE;
    await asker.verdicts("a");
    for (let waited = 0; waited < 10 * MAX_STREAM_STALL_MS; waited += STREAM_TICK_MS)
      stage.clock.advance(STREAM_TICK_MS);
    expect([await asker.verdicts("b"), stage.clock.pendingTimers]).to.deep.equal([
      [Verdict.NOT_BLACKLISTED],
      1,
    ]);
    expect(await asker.done()).to.deep.equal(ends("OK"));
  });
});
