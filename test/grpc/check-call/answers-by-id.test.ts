import { expect } from "chai";
import { Verdict } from "../../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { CheckCallStage } from "../../support/check-call-stage.ts";
import { ends } from "../../support/stream-end.ts";

describe("the streams of StreamChecks", () => {
  let stage: CheckCallStage;

  beforeEach(async () => {
    stage = await CheckCallStage.open();
  });
  afterEach(() => stage.close());

  it("send each answer as soon as it is known, in any order, with the question's id", async () => {
    const asker = stage.asker();
    const outcomes = ["a", "b", "c"].map((name, index) =>
      asker.ask({ jtis: [name] }, { id: [7, 2 ** 32 - 1, 0][index] as number }),
    );
    await stage.reached(3);
    for (const [index, revision] of [
      [1, "of b"],
      [2, "of c"],
      [0, "of a"],
    ] as const) {
      stage.asked[index]?.answer({ verdicts: [Verdict.BLACKLISTED], revision });
      await outcomes[index];
    }
    expect([asker.answered, await Promise.all(outcomes)]).to.deep.equal([
      [2 ** 32 - 1, 0, 7],
      ["of a", "of b", "of c"].map((revision) => ({ verdicts: [Verdict.BLACKLISTED], revision })),
    ]);
    expect(await asker.done()).to.deep.equal(ends("OK"));
  });

  it("accept an id again once its question is answered", async () => {
    stage.atOnce = ({ jtis }) => ({ verdicts: [], revision: jtis.join() });
    const asker = stage.asker();
    const seen: unknown[] = [];
    for (const name of ["a", "b", "c"]) seen.push(await asker.ask({ jtis: [name] }, { id: 5 }));
    expect([seen, asker.answered]).to.deep.equal([
      ["a", "b", "c"].map((revision) => ({ verdicts: [], revision })),
      [5, 5, 5],
    ]);
    asker.cancel();
  });
});
