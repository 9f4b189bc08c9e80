import { expect } from "chai";
import { Verdict } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { Asker, type Outcome, type QuestionInit } from "../support/asker.ts";
import type { PrivateMariadb } from "../support/mariadb.ts";
import { ownMariadb } from "../support/own-mariadb.ts";
import { revoke } from "../support/revoke.ts";
import { ends } from "../support/stream-end.ts";
import { until } from "../support/until.ts";
import { OutageStage } from "./outage-stage.ts";

const { BLACKLISTED, NOT_BLACKLISTED, UNKNOWN } = Verdict;

const told = (outcome: Outcome) => {
  if (outcome === "unanswered") return outcome;
  return "verdicts" in outcome
    ? outcome.verdicts
    : `${outcome.code} ${outcome.reason} ${outcome.retryAfterMs}`;
};

describe("StreamChecks while the database fails", function () {
  this.timeout(60_000);
  let server: PrivateMariadb;
  let stage: OutageStage;
  let asker: Asker;

  before(async function () {
    server = await ownMariadb(this);
  });
  after(() => server?.stop());

  beforeEach(async () => {
    stage = await OutageStage.open(server);
    asker = new Asker(stage.channel);
  });
  afterEach(() => stage.close());

  const ask = async (question: QuestionInit, timeoutMs?: number) =>
    told(await asker.ask(question, timeoutMs === undefined ? {} : { timeoutMs }));
  /** Asks on the same stream until there is a response. */
  const answeredAgain = (jtis: string[], verdicts: Verdict[]) =>
    until(async () => String(await ask({ jtis })) === String(verdicts), {
      withinMs: 2500,
      what: "questions are answered again",
    });

  const AWAY = "UNAVAILABLE STORE_UNAVAILABLE 500";

  for (const [what, inflict] of Object.entries({
    "resets every connection": () => stage.proxy.reset(),
    "swallows every byte": () => stage.proxy.blackhole(),
  })) {
    it(`answers known positives while it ${what}, refuses the rest one by one, and answers on the same stream afterwards`, async () => {
      await revoke(stage.here, "known");
      expect(await ask({ jtis: ["known", "never"] })).to.deep.equal([BLACKLISTED, NOT_BLACKLISTED]);
      inflict();
      await revoke(stage.elsewhere, "meanwhile");
      const asked = performance.now();
      const seen = await Promise.all([
        ask({ jtis: ["known", "never"] }),
        ask({ jtis: ["never"] }),
        ask({ jtis: ["meanwhile"] }),
        ask({ jtis: ["meanwhile", "known"] }),
        ask({ jtis: ["known"] }),
      ]);
      expect(seen).to.deep.equal([[BLACKLISTED, UNKNOWN], AWAY, AWAY, [UNKNOWN, BLACKLISTED], [BLACKLISTED]]);
      expect(performance.now() - asked).to.be.below(5000);
      await stage.proxy.heal();
      await answeredAgain(["known", "meanwhile", "never"], [BLACKLISTED, BLACKLISTED, NOT_BLACKLISTED]);
      expect(await asker.done()).to.deep.equal(ends("OK"));
    });
  }

  it("times out a question by itself, without a late response", async () => {
    expect(await ask({ jtis: ["a"] })).to.deep.equal([NOT_BLACKLISTED]);
    const before = asker.answered.length;
    stage.proxy.hold();
    const began = performance.now();
    const hasty = asker.ask({ jtis: ["a"] }, { timeoutMs: 200 });
    const patient = asker.ask({ jtis: ["b"] }, { timeoutMs: 30_000 });
    expect(told(await hasty)).to.equal("DEADLINE_EXCEEDED DEADLINE_EXCEEDED undefined");
    expect(performance.now() - began).to.be.within(199, 1400);
    expect(asker.waiting).to.equal(1);
    await stage.proxy.heal();
    expect(told(await patient)).to.be.deep.oneOf([[NOT_BLACKLISTED], AWAY]);
    await answeredAgain(["a"], [NOT_BLACKLISTED]);
    // Each has one response.
    const { answered } = asker;
    expect([new Set(answered).size, answered.length > before + 2]).to.deep.equal([answered.length, true]);
    expect(await asker.done()).to.deep.equal(ends("OK"));
  });

  it("refuses as NOT_FRESH what a read-only server may not know, and continues when it accepts writes again", async () => {
    await revoke(stage.elsewhere, "known");
    expect(await ask({ jtis: ["known"] })).to.deep.equal([BLACKLISTED]);
    await stage.admin.query("SET GLOBAL read_only = 1");
    try {
      expect(await ask({ jtis: ["never"] })).to.equal("UNAVAILABLE NOT_FRESH 500");
      expect(await ask({ jtis: ["known", "never"] })).to.deep.equal([BLACKLISTED, UNKNOWN]);
    } finally {
      await stage.admin.query("SET GLOBAL read_only = 0");
    }
    await answeredAgain(["never"], [NOT_BLACKLISTED]);
    expect(await asker.done()).to.deep.equal(ends("OK"));
  });

  it("is never stale after an outage: the first response includes revocations made elsewhere meanwhile", async () => {
    for (let round = 0; round < 5; round++) {
      expect(await ask({ jtis: [`gone-${round}`] })).to.deep.equal([NOT_BLACKLISTED]);
      stage.proxy.reset();
      await revoke(stage.elsewhere, `gone-${round}`);
      const seen: unknown[] = [];
      const back = until(
        async () => {
          const outcome = await ask({ jtis: [`gone-${round}`] });
          if (Array.isArray(outcome)) seen.push(outcome);
          else expect(outcome).to.equal(AWAY);
          return seen.length > 0;
        },
        { withinMs: 5000, what: "there is an answer" },
      );
      await stage.proxy.heal();
      await back;
      expect(seen).to.deep.equal([[BLACKLISTED]]);
    }
    asker.cancel();
  });
});
