import { expect } from "chai";
import { after, before, describe, it } from "mocha";
import { residentBytes } from "../../bench/resident-memory.ts";
import { Attacker } from "./attacker.ts";
import { ATTACKS } from "./attacks.ts";
import { figuresOfRuns, MIB, MOST_MIB, missesOf } from "./figures.ts";
import { Observer } from "./observer.ts";
import { openStage, type Stage } from "./stage.ts";

/** Short versions of the attacks that `make attacks` runs in full and measures, each on a new service. */
describe("a service under attack", () => {
  const attacker = new Attacker();
  after(() => attacker.stop());

  for (const tls of [false, true]) {
    describe(tls ? "over TLS" : "without TLS", () => {
      let stage: Stage;
      let observer: Observer;
      before(async () => {
        stage = await openStage({ tls });
        observer = new Observer(stage);
        await observer.warm();
      });
      after(async () => {
        await observer?.stop();
        await stage?.stop();
      });

      for (const { name, sends } of ATTACKS.filter((attack) => (attack.tls === true) === tls)) {
        it(`serves other clients, and retains nothing after ${sends} (${name})`, async () => {
          const before = residentBytes(stage.process.pid);
          const order = { name, target: stage.target, extent: { share: 0.02, forMs: 200 } };
          expect(await attacker.play(order, { withinMs: 20_000 })).to.be.a("number");
          expect(await observer.ask()).to.deep.equal({ probes: "answered", checks: "answered" });
          const risen = (residentBytes(stage.process.pid) - before) / MIB;
          expect(risen).to.be.below(MOST_MIB);
        });
      }
    });
  }
});

describe("the acceptable effects of an attack", () => {
  const held = {
    name: "a",
    sends: "b",
    sent: 1,
    lived: true,
    riseMib: 99,
    leftMib: 50,
    againMib: undefined,
    probe: { p99: 250, worst: 1000 },
    check: { quietP99: 20, p99: 80 },
    newcomers: { answered: 1, asked: 12 },
    logLines: 1000,
  };

  it("include small delays for others, and memory that is released", () => {
    expect(missesOf(held)).to.deep.equal([]);
    expect(missesOf({ ...held, check: { quietP99: 1, p99: 50 } })).to.deep.equal([]);
    expect(missesOf({ ...held, leftMib: 99, againMib: 99 })).to.deep.equal([]);
  });

  it("are the medians of the times of several runs, and the worst of everything else", () => {
    const slow = { ...held, probe: { p99: 300, worst: 900 }, check: { quietP99: 20, p99: 90 }, misses: [] };
    const fast = { ...held, misses: [] };
    expect(figuresOfRuns([slow, fast, fast]).misses).to.deep.equal([]);
    expect(figuresOfRuns([fast, slow, slow]).misses).to.have.lengthOf(2);
    const crashed = { ...fast, lived: false, riseMib: 100 };
    const letIn = { ...fast, sent: "let in" as const };
    expect(figuresOfRuns([fast, crashed, letIn]).misses).to.have.lengthOf(3);
  });

  it("exclude a crash, long delays for others, retained memory and a full log", () => {
    const missed = {
      ...held,
      sent: "overdue" as const,
      lived: false,
      riseMib: 100,
      leftMib: 51,
      againMib: 100,
      probe: { p99: 251, worst: Number.POSITIVE_INFINITY },
      check: { quietP99: 1, p99: 51 },
      newcomers: { answered: 0, asked: 12 },
      logLines: 1001,
    };
    expect(missesOf(missed)).to.have.lengthOf(9);
  });
});
