import { expect } from "chai";
import { curveOf } from "../../bench/curve.ts";
import { withCapacity } from "../../bench/plots/page.ts";
import { sizingTables } from "../../bench/plots/sizing.ts";
import type { Report } from "../../bench/report.ts";
import { capacityAlone, capacityOnStage } from "../../bench/scenarios/capacity.ts";

/** The same at every point of every curve, for mental arithmetic. */
const MEASURED: Readonly<Record<string, number>> = {
  calls: 5000,
  p99: 20,
  "CPU of the service": 100,
  "CPU of the database": 40,
  tokens: 2000,
  "redo log": 1000,
  "resident memory, after load": 150,
  "resident memory, by growth from the first": 50,
  "table and indexes": 400,
  "table and indexes each": 500,
  "from open port to loaded index": 1000,
  "rows pruned": 30_000,
};

const REPORT: Report = {
  machine: { node: "20.0.0", cpu: "a processor", cpus: 2, mariadb: "10.11", redis: undefined },
  options: { rounds: 1, seconds: 1 },
  scenarios: [...capacityAlone({ large: false }), ...capacityOnStage()].map(({ name, plan }) => ({
    name,
    unit: "",
    curve: curveOf(
      plan,
      plan.at.map(() => plan.lines.map((line) => MEASURED[line.name] ?? 1)),
    ),
    targets: [],
    skipped: [],
  })),
};

describe("the sizing tables", () => {
  const lines = sizingTables(REPORT).split("\n");

  it("load a replica to half a core, and include a spare one", () => {
    expect(lines.filter((line) => /^\| (1,000|10,000|50,000) \| .*cores/.test(line))).to.deep.equal([
      "| 1,000 | 0.1 cores, 2 replicas | 0.01 cores, 2 replicas | 0.001 cores, 2 replicas |",
      "| 10,000 | 1 core, 3 replicas | 0.1 cores, 2 replicas | 0.01 cores, 2 replicas |",
      "| 50,000 | 5 cores, 11 replicas | 0.5 cores, 2 replicas | 0.05 cores, 2 replicas |",
    ]);
    expect(lines.find((line) => line.startsWith("The database: at most"))).to.include("0.2 of a core");
  });

  it("distinguish measured sizes from calculated ones", () => {
    expect(lines.filter((line) => /measured \||calculated \|/.test(line))).to.deep.equal([
      "| 100,000 | 150 MB | 400 MB | 1 s | measured |",
      "| 1,000,000 | 150 MB | 400 MB | 1 s | measured |",
      "| 10,000,000 | 650 MB | 5 GB | 10 s | calculated |",
    ]);
  });

  it("include the entries that a rate of revocations accumulates until pruning", () => {
    // 100 a second for 900 + 300 seconds are live; another hour of them is in the table, at 500 bytes each.
    expect(lines.find((line) => line.startsWith("| 100 |"))).to.equal(
      "| 100 | 120,000 live, 240 MB | 8,670,000 live, 4.5 GB | 8.6 GB | 5 % |",
    );
  });
});

describe("the page with the tables", () => {
  const PAGE = [
    "before",
    "<!-- run: written by make plots -->",
    "<!-- end of run -->",
    "<!-- sizing: written by make plots -->",
    "what was there",
    "<!-- end of sizing -->",
    "<!-- figures: written by make plots -->",
    "<!-- end of figures -->",
    "after",
    "",
  ].join("\n");

  it("is unchanged outside the tables, and when it is generated again", () => {
    const written = withCapacity(PAGE, REPORT);
    expect(written)
      .to.match(/^before\n/)
      .and.match(/\nafter\n$/)
      .and.not.include("what was there");
    expect(withCapacity(written, REPORT)).to.equal(written);
  });

  it("marks a short run", () => {
    const longer: Report = { ...REPORT, options: { rounds: 3, seconds: 0.5 } };
    expect(withCapacity(PAGE, REPORT)).to.include("medians of 1 round of 1 s.").and.include("A trial run");
    expect(withCapacity(PAGE, longer)).to.include("medians of 3 rounds of 0.5 s.").and.not.include("trial");
  });

  it("is not written without the place of each table", () => {
    expect(() => withCapacity("before\nafter\n", REPORT)).to.throw(RangeError, 'no place for "run"');
  });
});
