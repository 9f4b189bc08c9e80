import { expect } from "chai";
import { Verdict } from "../../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { DEFAULT_DEADLINE_MS } from "../../../src/limits.ts";
import { CheckCallStage, FINE, late, refusal } from "../../support/check-call-stage.ts";
import { ends } from "../../support/stream-end.ts";

describe("the streams of StreamChecks and timeouts", () => {
  let stage: CheckCallStage;

  beforeEach(async () => {
    stage = await CheckCallStage.open();
  });
  afterEach(() => stage.close());

  it("a question has its own timeout, by default ten seconds; the others continue", async () => {
    const asker = stage.asker();
    const patient = asker.ask({ jtis: ["patient"] }, { timeoutMs: 60_000 });
    const usual = asker.ask({ jtis: ["usual"] });
    const hasty = asker.ask({ jtis: ["hasty"] }, { timeoutMs: 250 });
    await stage.reached(3);
    stage.clock.advance(249);
    await stage.arrived();
    expect(asker.waiting).to.equal(3);
    stage.clock.advance(1);
    expect(await hasty).to.deep.equal(late(250));
    stage.clock.advance(DEFAULT_DEADLINE_MS - 251);
    await stage.arrived();
    expect(asker.waiting).to.equal(2);
    stage.clock.advance(1);
    expect(await usual).to.deep.equal(late(10_000));
    stage.asked[0]?.answer();
    expect([await patient, stage.admission.active]).to.deep.equal([FINE, 0]);
    expect(await asker.done()).to.deep.equal(ends("OK"));
  });

  it("a handler that answers too late sees that its caller is gone, and its answer is dropped: another question may have the id", async () => {
    const asker = stage.asker();
    const first = asker.ask({ jtis: ["first"] }, { id: 1, timeoutMs: 100 });
    await stage.reached(1);
    expect(stage.asked[0]?.caller.isGone).to.equal(false);
    stage.clock.advance(100);
    expect([await first, stage.asked[0]?.caller.isGone]).to.deep.equal([late(100), true]);
    const second = asker.ask({ jtis: ["second"] }, { id: 1 });
    await stage.reached(2);
    stage.asked[0]?.answer({ verdicts: [Verdict.NOT_BLACKLISTED], revision: "late" });
    await stage.arrived();
    expect(asker.waiting).to.equal(1);
    stage.asked[1]?.answer({ verdicts: [Verdict.BLACKLISTED], revision: "second" });
    expect([await second, asker.answered]).to.deep.equal([
      { verdicts: [Verdict.BLACKLISTED], revision: "second" },
      [1, 1],
    ]);
    const third = asker.ask({ jtis: ["third"] }, { id: 1, timeoutMs: 100 });
    await stage.reached(3);
    stage.clock.advance(100);
    await third;
    stage.asked[2]?.fail(new Error("late as well"));
    await stage.arrived();
    expect([asker.answered, stage.admission.active]).to.deep.equal([[1, 1, 1], 0]);
    asker.cancel();
  });

  it("a question whose timeout is zero is DEADLINE_EXCEEDED", async () => {
    const asker = stage.asker();
    const outcome = asker.ask({ jtis: ["a"] }, { timeoutMs: 0 });
    await stage.reached(1);
    stage.clock.advance(0);
    expect(await outcome).to.deep.equal(late(0));
    asker.cancel();
  });

  it("an invalid timeout is refused for that question alone", async () => {
    stage.atOnce = () => FINE;
    const asker = stage.asker();
    const cases = [
      { seconds: -1n, nanos: 0 },
      { seconds: 0n, nanos: -1 },
      { seconds: 1n, nanos: 1_000_000_000 },
      { seconds: 315_576_000_001n, nanos: 0 },
      { seconds: -(2n ** 63n), nanos: -(2 ** 31) },
    ];
    const question = { jtis: ["a"] };
    const outcomes = cases.map((timeout, index) => asker.send({ id: 100 + index, question, timeout }));
    const longest = asker.send({ id: 1, question, timeout: { seconds: 315_576_000_000n, nanos: 0 } });
    const refused = (text: string) =>
      refusal("INVALID_ARGUMENT", {
        reason: "INVALID_REQUEST",
        message: `timeout: ${text}`,
        violations: [["timeout", text]],
        retryAfterMs: undefined,
      });
    const tooLong = "must be at most 315576000000 s, which are 10,000 years";
    expect([await Promise.all(outcomes), await longest, stage.admission.active]).to.deep.equal([
      cases.map(({ seconds }) =>
        refused(seconds > 315_576_000_000n ? tooLong : "must be a duration that is not negative"),
      ),
      FINE,
      0,
    ]);
    expect(await asker.done()).to.deep.equal(ends("OK"));
  });

  it("the longest timeout is bounded by the longest timer", async () => {
    const asker = stage.asker();
    const question = { jtis: ["a"] };
    const outcome = asker.send({ id: 1, question, timeout: { seconds: 315_576_000_000n, nanos: 0 } });
    await stage.reached(1);
    stage.clock.advance(24 * 3_600_000);
    await stage.arrived();
    expect(asker.waiting).to.equal(1);
    stage.asked[0]?.answer();
    expect(await outcome).to.deep.equal(FINE);
    asker.cancel();
  });
});
