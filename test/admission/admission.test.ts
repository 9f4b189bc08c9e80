import { expect } from "chai";
import { Admission, MAX_CALLS } from "../../src/admission/admission.ts";
import { MAX_UNSENT_BYTES } from "../../src/limits.ts";
import { turn } from "../support/held-store.ts";

describe("Admission", () => {
  let admission: Admission;

  beforeEach(() => {
    admission = new Admission();
  });

  function enter(count: number): (string | undefined)[] {
    return [...new Set(Array.from({ length: count }, () => admission.enter({ peer: "peer" })))];
  }

  it("counts the calls in flight", () => {
    const counts = [admission.active];
    enter(2);
    counts.push(admission.active);
    admission.leave();
    counts.push(admission.active);
    expect(counts).to.deep.equal([0, 2, 1]);
  });

  it("refuses calls above the limit without counting them, and admits again when a call ends", () => {
    const told = [enter(MAX_CALLS), enter(10), [admission.active]];
    admission.leave();
    told.push(enter(1), enter(1));
    expect(told).to.deep.equal([[undefined], ["OVERLOADED"], [MAX_CALLS], [undefined], ["OVERLOADED"]]);
  });

  it("reserves capacity beside the largest known caller, and none if callers are not identified", () => {
    const fill = (name: string) => {
      const parts = [];
      for (;;) {
        if (admission.enter({ peer: "peer" }) !== undefined) return parts;
        const part = admission.claim(name);
        if (part !== undefined) parts.push(part);
        else {
          admission.leave();
          return parts;
        }
      }
    };
    const greedy = fill("greedy");
    expect([greedy.length, fill("other").length > 0]).to.deep.equal([(MAX_CALLS * 3) / 4, true]);
    admission = new Admission();
    expect(fill("")).to.have.length(MAX_CALLS);
  });

  it("drains at once if no call is in flight, and then refuses new calls", async () => {
    await admission.drain();
    expect([enter(2), admission.active]).to.deep.equal([["DRAINING"], 0]);
  });

  it("drains when the last call in flight has ended", async () => {
    enter(2);
    let drained = false;
    const draining = admission.drain().then(() => {
      drained = true;
    });
    const told = [enter(1)];
    admission.leave();
    await turn();
    const early = drained;
    admission.leave();
    await draining;
    expect([told, early, drained, enter(1)]).to.deep.equal([[["DRAINING"]], false, true, ["DRAINING"]]);
  });

  it("refuses calls only on the connection whose answers are unread, until they are sent", () => {
    const enterFrom = (peer: string) => admission.enter({ peer });
    const first = admission.bufferAnswer("slow", MAX_UNSENT_BYTES - 1);
    const told = [enterFrom("slow"), admission.mayBuffer("slow")];
    const second = admission.bufferAnswer("slow", 1);
    told.push(
      enterFrom("slow"),
      admission.mayBuffer("slow"),
      enterFrom("quick"),
      admission.mayBuffer("quick"),
    );
    first();
    told.push(enterFrom("slow"), admission.mayBuffer("slow"));
    second();
    expect(told).to.deep.equal([undefined, true, "OVERLOADED", false, undefined, true, undefined, true]);
  });

  it("reports DRAINING even at the limit", () => {
    enter(MAX_CALLS);
    void admission.drain();
    expect(enter(1)).to.deep.equal(["DRAINING"]);
  });
});
