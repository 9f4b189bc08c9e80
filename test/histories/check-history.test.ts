import { expect } from "chai";
import { checkHistory } from "./check-history.ts";
import {
  type BlacklistCall,
  type CheckCall,
  type Freshness,
  type History,
  type Interval,
  NO_REPLICA,
  type Outcome,
  type Verdict,
} from "./history.ts";

const LATER = 1e9;
const JTI = "a";

/** An acknowledged Blacklist of one jti, by default at revision 7. */
function acknowledged(
  [from, to]: [number, number],
  options: {
    outcome?: Outcome;
    asked?: number;
    stored?: number;
    revision?: string;
  } = {},
): BlacklistCall {
  const { outcome = "created", asked = LATER, stored = asked, revision = "7-aa" } = options;
  return {
    kind: "blacklist",
    from,
    to,
    replica: 0,
    failure: undefined,
    tokens: [{ jti: JTI, validUntil: asked }],
    answer: { revision, results: [{ outcome, validUntil: stored }] },
  };
}

/** A Blacklist with an unknown outcome. */
function unanswered([from, to]: [number, number], { asked = LATER } = {}): BlacklistCall {
  return {
    ...acknowledged([from, to], { asked }),
    answer: undefined,
    failure: "STORE_UNAVAILABLE",
  };
}

function check(
  [from, to]: [number, number],
  verdict: Verdict,
  { freshness = { kind: "fresh" }, revision = "1-aa" }: { freshness?: Freshness; revision?: string } = {},
): CheckCall {
  return {
    kind: "check",
    from,
    to,
    replica: 1,
    failure: undefined,
    jtis: [JTI],
    freshness,
    answer: { revision, verdicts: [verdict] },
  };
}

/** A gateway's verdict, without a revision. */
function gatewaySaid([from, to]: [number, number], verdict: Verdict, freshness: Freshness): CheckCall {
  return { ...check([from, to], verdict, { freshness, revision: "" }), replica: NO_REPLICA, gateway: 2 };
}

function failed([from, to]: [number, number], failure: string, freshness: Freshness = { kind: "fresh" }) {
  return { ...check([from, to], "unknown", { freshness }), answer: undefined, failure };
}

const stale = (ms: number): Freshness => ({ kind: "max-staleness", ms });
const atLeast = (revision: string): Freshness => ({ kind: "at-least", revision });

function broken(operations: History["operations"], rest: Partial<History> = {}): string[] {
  return checkHistory({ operations, undoings: [], readOnly: [], ...rest }).map(({ rule }) => rule);
}

interface Case {
  readonly rule: string;
  readonly caught: Partial<History>;
  /** The same without the difference that makes it a violation. */
  readonly accepted: Partial<History>;
}

const CRASH: Interval = { from: 40, to: 50 };

const CASES: Record<string, Case> = {
  "a negative that began after an acknowledgement": {
    rule: "not blacklisted, after it was known to be",
    caught: { operations: [acknowledged([0, 10]), check([11, 20], "not-blacklisted")] },
    accepted: { operations: [acknowledged([0, 10]), check([10, 20], "not-blacklisted")] },
  },
  "a negative that began after another check had said blacklisted": {
    rule: "not blacklisted, after it was known to be",
    caught: {
      operations: [unanswered([0, 90]), check([5, 10], "blacklisted"), check([11, 20], "not-blacklisted")],
    },
    accepted: {
      operations: [unanswered([0, 90]), check([5, 12], "blacklisted"), check([11, 20], "not-blacklisted")],
    },
  },
  "a negative that is staler than it may be": {
    rule: "not blacklisted, after it was known to be",
    caught: {
      operations: [acknowledged([0, 10]), check([61, 70], "not-blacklisted", { freshness: stale(50) })],
    },
    accepted: {
      operations: [acknowledged([0, 10]), check([60, 70], "not-blacklisted", { freshness: stale(50) })],
    },
  },
  "a fully fresh negative of a gateway that was asked after an acknowledgement": {
    rule: "not blacklisted, after it was known to be",
    caught: {
      operations: [acknowledged([0, 10]), gatewaySaid([11, 20], "not-blacklisted", { kind: "fresh" })],
    },
    accepted: {
      operations: [acknowledged([0, 10]), gatewaySaid([10, 20], "not-blacklisted", { kind: "fresh" })],
    },
  },
  "a negative of a gateway that is staler than it may be": {
    rule: "not blacklisted, after it was known to be",
    caught: { operations: [acknowledged([0, 10]), gatewaySaid([61, 61], "not-blacklisted", stale(50))] },
    accepted: { operations: [acknowledged([0, 10]), gatewaySaid([60, 60], "not-blacklisted", stale(50))] },
  },
  "a negative of a replica after a gateway had said blacklisted": {
    rule: "not blacklisted, after it was known to be",
    caught: {
      operations: [
        unanswered([0, 90]),
        gatewaySaid([5, 10], "blacklisted", stale(50)),
        check([11, 20], "not-blacklisted"),
      ],
    },
    accepted: {
      operations: [
        unanswered([0, 90]),
        gatewaySaid([5, 12], "blacklisted", stale(50)),
        check([11, 20], "not-blacklisted"),
      ],
    },
  },
  "a negative of a gateway that was told to include a revision which includes the entry": {
    rule: "not blacklisted, as of a revision that includes it",
    caught: {
      operations: [
        acknowledged([0, 10], { revision: "7-aa" }),
        gatewaySaid([5, 9], "not-blacklisted", atLeast("7-aa")),
      ],
    },
    accepted: {
      operations: [
        acknowledged([0, 10], { revision: "7-aa" }),
        gatewaySaid([5, 9], "not-blacklisted", atLeast("6-aa")),
      ],
    },
  },
  "a negative after an entry was extended, when its first expiry has passed": {
    rule: "not blacklisted, after it was known to be",
    caught: {
      operations: [
        acknowledged([0, 10], { asked: 100 }),
        acknowledged([20, 30], { outcome: "extended" }),
        check([200, 210], "not-blacklisted"),
      ],
    },
    accepted: {
      operations: [
        acknowledged([0, 10], { asked: 100 }),
        { ...unanswered([20, 30]) },
        check([200, 210], "not-blacklisted"),
      ],
    },
  },
  "a negative before the entry has run out": {
    rule: "not blacklisted, after it was known to be",
    caught: {
      operations: [acknowledged([0, 10], { asked: 100 }), check([70, 80], "not-blacklisted")],
    },
    accepted: {
      operations: [acknowledged([0, 10], { asked: 100 }), check([70, 101], "not-blacklisted")],
    },
  },
  "a negative that names a revision which includes the entry": {
    rule: "not blacklisted, as of a revision that includes it",
    caught: {
      operations: [
        acknowledged([0, 10], { revision: "7-aa" }),
        check([11, 20], "not-blacklisted", { freshness: atLeast("7-aa") }),
      ],
    },
    accepted: {
      operations: [
        acknowledged([0, 10], { revision: "7-aa" }),
        check([11, 20], "not-blacklisted", { freshness: atLeast("6-aa") }),
      ],
    },
  },
  "a negative that is said to include a revision which includes the entry": {
    rule: "not blacklisted, as of a revision that includes it",
    caught: {
      operations: [
        acknowledged([0, 10], { revision: "7-aa" }),
        check([1, 20], "not-blacklisted", { revision: "8-aa" }),
      ],
    },
    accepted: {
      operations: [
        acknowledged([0, 10], { revision: "7-aa" }),
        check([1, 20], "not-blacklisted", { revision: "6-aa" }),
      ],
    },
  },
  "a negative that includes an acknowledged revision, in spite of a crash": {
    rule: "not blacklisted, as of a revision that includes it",
    caught: {
      operations: [
        acknowledged([0, 10], { revision: "7-aa" }),
        check([1, 20], "not-blacklisted", { revision: "7-aa" }),
      ],
      undoings: [CRASH],
    },
    accepted: {
      operations: [
        acknowledged([60, 70], { revision: "7-aa" }),
        check([1, 20], "not-blacklisted", { revision: "7-bb" }),
        unanswered([0, 70]),
      ],
      undoings: [CRASH],
    },
  },
  "a negative of a database that was read-only throughout": {
    rule: "not blacklisted, while the database was read-only",
    caught: { operations: [check([11, 19], "not-blacklisted")], readOnly: [{ from: 10, to: 20 }] },
    accepted: { operations: [check([9, 19], "not-blacklisted")], readOnly: [{ from: 10, to: 20 }] },
  },
  "a negative that may be as old as the time before the database became read-only": {
    rule: "not blacklisted, while the database was read-only",
    caught: {
      operations: [check([17, 19], "not-blacklisted", { freshness: stale(5) })],
      readOnly: [{ from: 10, to: 20 }],
    },
    accepted: {
      operations: [check([14, 19], "not-blacklisted", { freshness: stale(5) })],
      readOnly: [{ from: 10, to: 20 }],
    },
  },
  "a negative that names a revision which a crash undid, of a replica that knows better": {
    rule: "not blacklisted, as of a revision that is lost",
    caught: {
      operations: [
        { ...acknowledged([55, 60], { revision: "7-bb" }), tokens: [{ jti: "b", validUntil: LATER }] },
        check([61, 70], "not-blacklisted", { freshness: atLeast("7-aa"), revision: "7-bb" }),
      ],
      undoings: [CRASH],
    },
    accepted: {
      operations: [
        { ...acknowledged([55, 60], { revision: "7-bb" }), tokens: [{ jti: "b", validUntil: LATER }] },
        check([61, 70], "not-blacklisted", { freshness: atLeast("7-aa"), revision: "7-aa" }),
      ],
      undoings: [CRASH],
    },
  },
  "a positive that vanished although it was not blacklisted before the crash": {
    rule: "not blacklisted, after it was known to be",
    caught: {
      operations: [unanswered([50, 90]), check([51, 55], "blacklisted"), check([60, 70], "not-blacklisted")],
      undoings: [CRASH],
    },
    accepted: {
      operations: [unanswered([49, 90]), check([51, 55], "blacklisted"), check([60, 70], "not-blacklisted")],
      undoings: [CRASH],
    },
  },
  "a positive that vanished after the crash of a database that undoes nothing": {
    rule: "not blacklisted, after it was known to be",
    caught: {
      operations: [unanswered([0, 90]), check([30, 35], "blacklisted"), check([60, 70], "not-blacklisted")],
    },
    accepted: {
      operations: [unanswered([0, 90]), check([30, 35], "blacklisted"), check([60, 70], "not-blacklisted")],
      undoings: [CRASH],
    },
  },
  "a positive that vanished at a crash although it was acknowledged before": {
    rule: "not blacklisted, after it was known to be",
    caught: {
      operations: [acknowledged([0, 39]), check([60, 70], "not-blacklisted")],
      undoings: [CRASH],
    },
    accepted: {
      operations: [unanswered([0, 39]), check([60, 70], "not-blacklisted")],
      undoings: [CRASH],
    },
  },
  "a positive before anyone asked for it": {
    rule: "blacklisted before anyone asked for it",
    caught: { operations: [check([0, 9], "blacklisted"), unanswered([10, 20])] },
    accepted: { operations: [check([0, 10], "blacklisted"), unanswered([10, 20])] },
  },
  "a positive for a jti that was never blacklisted": {
    rule: "blacklisted before anyone asked for it",
    caught: { operations: [check([0, 9], "blacklisted")] },
    accepted: { operations: [check([0, 9], "blacklisted"), unanswered([0, 1])] },
  },
  "two who are told created": {
    rule: "created twice",
    caught: { operations: [acknowledged([0, 10]), acknowledged([5, 20])] },
    accepted: { operations: [acknowledged([0, 10], { asked: 15 }), acknowledged([5, 20])] },
  },
  "one who is told created after the entry was seen": {
    rule: "created, after it was known to be there",
    caught: {
      operations: [unanswered([0, 90]), check([1, 9], "blacklisted"), acknowledged([10, 20])],
    },
    accepted: {
      operations: [unanswered([0, 90]), check([1, 11], "blacklisted"), acknowledged([10, 20])],
    },
  },
  "no response with created": {
    rule: "created in no response",
    caught: {
      operations: [acknowledged([0, 10], { outcome: "already" }), unanswered([11, 20])],
    },
    accepted: {
      operations: [acknowledged([0, 10], { outcome: "already" }), unanswered([9, 20])],
    },
  },
  "an entry that is stored shorter than asked for": {
    rule: "shorter than asked for",
    caught: { operations: [acknowledged([0, 10], { asked: 1000, stored: 999 })] },
    accepted: { operations: [acknowledged([0, 10], { asked: 1000, stored: 1000 })] },
  },
  "an entry that a repeat shortened": {
    rule: "shortened",
    caught: {
      operations: [
        acknowledged([0, 10], { asked: 1000 }),
        acknowledged([11, 20], { outcome: "already", asked: 500 }),
      ],
    },
    accepted: {
      operations: [
        acknowledged([0, 10], { asked: 1000 }),
        acknowledged([11, 20], { outcome: "already", asked: 500, stored: 1000 }),
      ],
    },
  },
  "an entry that was shortened while it lasted": {
    rule: "shortened",
    caught: {
      operations: [
        acknowledged([0, 10], { asked: 1000 }),
        acknowledged([11, 980], { outcome: "already", asked: 500 }),
      ],
    },
    accepted: {
      operations: [
        acknowledged([0, 10], { asked: 1000 }),
        acknowledged([11, 995], { outcome: "already", asked: 500 }),
      ],
    },
  },
  "an unexpected error": {
    rule: "an error that no fault excuses",
    caught: { operations: [failed([0, 10], "INTERNAL")] },
    accepted: { operations: [failed([0, 10], "STORE_UNAVAILABLE")] },
  },
  "an answer that only says unknown": {
    rule: "unknown without anything known",
    caught: { operations: [check([0, 10], "unknown")] },
    accepted: { operations: [failed([0, 10], "NOT_FRESH")] },
  },
  "a revision that is lost without a crash": {
    rule: "a revision said to be lost that is not",
    caught: { operations: [failed([0, 10], "REVISION_LOST", atLeast("7-aa"))] },
    accepted: { operations: [failed([0, 10], "REVISION_LOST", atLeast("7-aa"))], undoings: [CRASH] },
  },
};

describe("checkHistory", () => {
  for (const [what, { rule, caught, accepted }] of Object.entries(CASES)) {
    it(`catches ${what}, and accepts a near miss`, () => {
      expect(broken(caught.operations ?? [], caught)).to.deep.equal([rule]);
      expect(broken(accepted.operations ?? [], accepted)).to.deep.equal([]);
    });
  }

  it("separates jtis: events of one do not affect another", () => {
    const other = { ...check([11, 20], "not-blacklisted"), jtis: ["b"] };
    expect(broken([acknowledged([0, 10]), other])).to.deep.equal([]);
  });

  it("checks every verdict of a batch", () => {
    const batch: CheckCall = {
      ...check([11, 20], "blacklisted"),
      jtis: ["b", JTI, "b"],
      answer: { revision: "1-aa", verdicts: ["not-blacklisted", "not-blacklisted", "not-blacklisted"] },
    };
    expect(broken([acknowledged([0, 10]), batch])).to.deep.equal([
      "not blacklisted, after it was known to be",
    ]);
  });

  it("names the operations that prove a violation", () => {
    const write = acknowledged([0, 10]);
    const negative = check([11, 20], "not-blacklisted");
    const [violation] = checkHistory({ operations: [negative, write], undoings: [], readOnly: [] });
    expect(violation).to.deep.equal({
      rule: "not blacklisted, after it was known to be",
      jti: JTI,
      operations: [write, negative],
    });
  });

  it("runs in time proportional to the history", () => {
    const calls = Array.from({ length: 100_000 }, (_, at) => check([at, at + 0.5], "not-blacklisted"));
    const began = performance.now();
    expect(broken([...calls, acknowledged([99_998, 100_001])])).to.deep.equal([]);
    expect(performance.now() - began).to.be.below(5000);
  });
});
