import { expect } from "chai";
import {
  MAX_SNAPSHOTS,
  MAX_SNAPSHOTS_PER_CALLER,
  SNAPSHOT_TURN_MS,
  SnapshotTurns,
} from "../../src/blacklist/snapshot-turns.ts";
import { FakeClock } from "../support/fake-clock.ts";

describe("SnapshotTurns", () => {
  let clock: FakeClock;
  let turns: SnapshotTurns<{ callerName: string }>;

  beforeEach(() => {
    clock = new FakeClock();
    turns = new SnapshotTurns(clock);
  });

  const receivers = (callerName: string, count: number) =>
    Array.from({ length: count }, () => ({ callerName }));

  it("leave some for other callers, however many one caller requests", () => {
    const greedy = receivers("greedy", 1000);
    const [other = { callerName: "" }] = receivers("other", 1);
    const granted = greedy.filter((one) => turns.ask(one)).length;
    expect([granted, turns.ask(other)]).to.deep.equal([MAX_SNAPSHOTS_PER_CALLER, true]);
  });

  it("go to callers in turn, and to the receivers of one caller in their order", () => {
    const greedy = receivers("greedy", 100);
    const others = receivers("other", 2);
    const [a, b] = [...receivers("a", 1), ...receivers("b", 1)] as [
      { callerName: string },
      { callerName: string },
    ];
    const waiting = [...greedy, ...others, a, b];
    for (const one of waiting) turns.ask(one);
    let current = waiting.filter((one) => turns.ask(one));
    const came: unknown[] = [];
    for (let times = 0; times < 4; times++) {
      turns.end(current[0] as { callerName: string });
      const now = waiting.filter((one) => current.slice(1).includes(one) || turns.ask(one));
      came.push(...now.filter((one) => !current.includes(one)));
      current = current.slice(1).concat(now.filter((one) => !current.includes(one)));
      waiting.splice(0, waiting.length, ...waiting.filter((one) => one !== greedy[times]));
    }
    expect(came).to.deep.equal([greedy[6], a, b, greedy[7]]);
  });

  it("are all available to callers without identity, and receivers that do not read pass them on", () => {
    const all = receivers("", 2 * MAX_SNAPSHOTS);
    expect(all.filter((one) => turns.ask(one))).to.have.length(MAX_SNAPSHOTS);
    clock.advance(SNAPSHOT_TURN_MS);
    turns.ask(all[0] as { callerName: string });
    const idle = turns.idle();
    expect(idle).to.deep.equal(all.slice(1, MAX_SNAPSHOTS));
    for (const one of idle) expect(turns.end(one)).to.equal(true);
    expect([turns.size, turns.idle()]).to.deep.equal([{ inFlight: MAX_SNAPSHOTS, waiting: 1 }, []]);
  });

  it("keep nothing of receivers that leave", () => {
    const all = receivers("a", 20);
    for (const one of all) turns.ask(one);
    for (const one of all) turns.end(one);
    expect(turns.size).to.deep.equal({ inFlight: 0, waiting: 0 });
  });
});
