import { expect } from "chai";
import { AcknowledgedCommits, MAX_UNCONFIRMED_COMMITS } from "../../src/blacklist/acknowledged-commits.ts";
import { storeUnavailable } from "../../src/errors.ts";
import type { Revision } from "../../src/revision.ts";
import { reasonOf } from "../support/rejection.ts";

/** The commit with this number in the history of this letter. */
const commit = (number: number, history = "a"): Revision => ({ number, stamp: history.repeat(16) });
const range = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, index) => commit(from + index));

describe("AcknowledgedCommits", () => {
  let commits: AcknowledgedCommits;
  /** The revisions that the database is asked for, and those that it has lost. */
  let asked: (readonly Revision[])[];
  let lacks: readonly Revision[];
  let failure: unknown;

  beforeEach(() => {
    asked = [];
    lacks = [];
    failure = undefined;
    commits = new AcknowledgedCommits({
      async missing(revisions) {
        asked.push(revisions);
        if (failure !== undefined) throw failure;
        return [...lacks];
      },
    });
  });

  /** Pending for the reader of changes; required of look-ups. */
  const state = () => [commits.unconfirmed, commits.required].map((some) => some.map(({ number }) => number));

  it("requires each commit until a read of the changes has found it, and the last of them afterwards", () => {
    for (const one of range(1, 3)) void commits.add(one);
    void commits.add(commit(2));
    const before = state();
    commits.foundByFollower([commit(1), commit(2), commit(7)]);
    const between = state();
    commits.foundByFollower([commit(3), commit(9)]);
    expect([before, between, state()]).to.deep.equal([
      [
        [1, 2, 3],
        [1, 2, 3],
      ],
      [[3], [2, 3]],
      [[], [3]],
    ]);
  });

  it("distinguishes commits with the same number in different histories", () => {
    void commits.add(commit(1));
    void commits.add(commit(1, "b"));
    commits.foundByFollower([commit(1, "b")]);
    expect(commits.required).to.deep.equal([commit(1, "b"), commit(1)]);
  });

  it("requires only the last commit once a look-up has found all, and still has it read with the changes", () => {
    for (const one of range(1, 3)) void commits.add(one);
    const { required } = commits;
    void commits.add(commit(4));
    commits.foundByLookup(required);
    const before = state();
    commits.foundByFollower([commit(3), commit(4)]);
    expect([before, state()]).to.deep.equal([
      [
        [3, 4],
        [3, 4],
      ],
      [[], [4]],
    ]);
  });

  it("learns nothing from a look-up that ends after its commit has been forgotten", () => {
    void commits.add(commit(1));
    const { required } = commits;
    commits.forget();
    void commits.add(commit(1, "b"));
    commits.foundByLookup(required);
    expect(commits.required).to.deep.equal([commit(1, "b")]);
  });

  describe("with the maximum of pending commits", () => {
    beforeEach(() => {
      for (const one of range(1, MAX_UNCONFIRMED_COMMITS)) void commits.add(one);
    });

    const one = commit(MAX_UNCONFIRMED_COMMITS + 1);

    it("looks up all of them together before the next is acknowledged", async () => {
      await commits.add(one);
      expect([asked, state()]).to.deep.equal([
        [range(1, MAX_UNCONFIRMED_COMMITS + 1)],
        [[one.number], [one.number]],
      ]);
    });

    it("keeps a commit that is lost, since it proves the loss", async () => {
      lacks = [commit(5), commit(7)];
      await commits.add(one);
      expect(state()).to.deep.equal([[5], [5]]);
    });

    it("does not acknowledge the next commit while it cannot be looked up", async () => {
      failure = storeUnavailable("away");
      expect(await reasonOf(commits.add(one) as Promise<void>)).to.equal("STORE_UNAVAILABLE");
      expect(commits.required).to.have.length(MAX_UNCONFIRMED_COMMITS + 1);
      failure = undefined;
      await commits.add(commit(MAX_UNCONFIRMED_COMMITS + 2));
      expect(commits.required).to.have.length(1);
    });

    it("never requires more commits in one read than the maximum", async () => {
      let most = 0;
      const notice = () => {
        most = Math.max(most, commits.required.length);
      };
      for (const one of range(MAX_UNCONFIRMED_COMMITS + 1, 10 * MAX_UNCONFIRMED_COMMITS)) {
        const added = commits.add(one);
        notice();
        await added;
        if (one.number % 7 === 0) commits.foundByFollower(commits.unconfirmed);
        notice();
      }
      expect(most).to.be.at.most(MAX_UNCONFIRMED_COMMITS + 2);
    });
  });
});
