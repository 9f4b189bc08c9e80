import { expect } from "chai";
import { MAX_CALLS } from "../../../src/admission/admission.ts";
import { MAX_STREAM_QUESTIONS } from "../../../src/limits.ts";
import { CheckCallStage, FINE, many, PATIENCE, refusal } from "../../support/check-call-stage.ts";
import { ends } from "../../support/stream-end.ts";
import { until } from "../../support/until.ts";

describe("the streams of StreamChecks", () => {
  let stage: CheckCallStage;

  beforeEach(async () => {
    stage = await CheckCallStage.open();
  });
  afterEach(() => stage.close());

  it("read at most 64 unanswered questions, and another one after each answer", async () => {
    expect(MAX_STREAM_QUESTIONS).to.equal(64);
    const asker = stage.asker();
    const outcomes = stage.askMany(asker, 100);
    await stage.reached(64);
    await stage.arrived();
    expect([stage.names, stage.admission.active]).to.deep.equal([many(64), 64]);
    for (const index of [63, 10, 0]) {
      const before = stage.asked.length;
      stage.asked[index]?.answer();
      await stage.reached(before + 1);
      await stage.arrived();
      expect(stage.names).to.deep.equal(many(before + 1));
    }
    for (let next = 0; next < 100; next++) {
      await stage.reached(next + 1);
      stage.asked[next]?.answer();
    }
    expect([await Promise.all(outcomes), await asker.done(), stage.names]).to.deep.equal([
      many(100).map(() => FINE),
      ends("OK"),
      many(100),
    ]);
  });

  it("continue to be read while questions of another stream wait", async () => {
    const stuck = stage.asker();
    void stage.askMany(stuck, 100);
    await stage.reached(64);
    const other = stage.asker();
    const outcomes = stage.askMany(other, 3, 500);
    await stage.reached(67);
    for (const held of stage.asked.slice(64)) held.answer();
    expect(await Promise.all(outcomes)).to.deep.equal([FINE, FINE, FINE]);
    stuck.cancel();
    other.cancel();
  });

  it("count each question as a call in flight", async () => {
    const asker = stage.asker();
    for (let count = 0; count < MAX_CALLS - 2; count++) stage.admission.enter({ peer: "another" });
    const outcomes = stage.askMany(asker, 3);
    const refused = await outcomes[2];
    expect(refused).to.deep.equal(
      refusal("RESOURCE_EXHAUSTED", {
        reason: "OVERLOADED",
        message: "too many calls are in flight, or the client leaves too many responses unread",
        retryAfterMs: 250,
      }),
    );
    expect(stage.admission.active).to.equal(MAX_CALLS);
    await stage.reached(2);
    for (const held of stage.asked) held.answer();
    expect(await Promise.all(outcomes.slice(0, 2))).to.deep.equal([FINE, FINE]);
    expect(stage.admission.active).to.equal(MAX_CALLS - 2);
    expect(await asker.done()).to.deep.equal(ends("OK"));
  });

  it("are refused at the limit of calls in flight, and do not count towards it", async () => {
    const asker = stage.asker();
    stage.atOnce = () => FINE;
    await asker.ask({ jtis: ["a"] });
    expect(stage.admission.active).to.equal(0);
    for (let count = 0; count < MAX_CALLS; count++) stage.admission.enter({ peer: "another" });
    expect(await stage.asker().ended).to.deep.equal(ends("RESOURCE_EXHAUSTED", "OVERLOADED"));
    expect(stage.admission.active).to.equal(MAX_CALLS);
    asker.cancel();
  });

  it("are limited in number, with or without questions; one that has ended makes room", async () => {
    stage.atOnce = () => FINE;
    const served = [stage.asker(), stage.asker()];
    for (const one of served) await one.ask({ jtis: ["a"] });
    // The third has no question, but counts as well: the fourth comes after it on the same connection.
    const silent = stage.asker();
    expect(await stage.asker().ended).to.deep.equal(ends("RESOURCE_EXHAUSTED", "OVERLOADED"));
    served[0]?.cancel();
    const isRoom = async () => (await stage.asker().ask({ jtis: ["a"] })) !== "unanswered";
    await until(isRoom, { ...PATIENCE, what: "there is room again" });
    silent.cancel();
  });
});
