import { expect } from "chai";
import { type Findings, verdictOf } from "./verdict.ts";

const NOTHING: Findings = { violations: [], accidents: [], problems: [], tooLittle: [] };
const KINDS = Object.keys(NOTHING) as (keyof Findings)[];

/** One finding of each of these kinds. */
function found(...kinds: (keyof Findings)[]): Findings {
  return { ...NOTHING, ...Object.fromEntries(kinds.map((kind) => [kind, ["found"]])) };
}

describe("the verdict of a history", () => {
  it("is ok only without any finding", () => {
    expect(verdictOf(NOTHING)).to.deep.equal({ verdict: "ok", onlyTooLittle: false });
    for (const kind of KINDS) expect(verdictOf(found(kind)).verdict, kind).to.not.equal("ok");
  });

  it("is a violation if one was found, even if something else did not finish", () => {
    expect(verdictOf(found("violations")).verdict).to.equal("violation");
    expect(verdictOf(found("violations", "problems", "tooLittle")).verdict).to.equal("violation");
  });

  it("is insufficient if another cause may explain the violation", () => {
    expect(verdictOf(found("violations", "accidents")).verdict).to.equal("insufficient");
  });

  it("is insufficient, which allows a repetition, only if nothing else was found", () => {
    expect(verdictOf(found("tooLittle"))).to.deep.equal({ verdict: "insufficient", onlyTooLittle: true });
    for (const kind of KINDS) {
      if (kind === "tooLittle") continue;
      expect(verdictOf(found(kind)).onlyTooLittle, kind).to.equal(false);
      expect(verdictOf(found(kind, "tooLittle")).onlyTooLittle, `${kind} and tooLittle`).to.equal(false);
    }
  });
});
