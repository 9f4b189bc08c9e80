import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { draw } from "../../bench/plots/draw.ts";
import type { Figure } from "../../bench/plots/figure.ts";
import { figuresOf } from "../../bench/plots/figures.ts";
import { withCapacity } from "../../bench/plots/page.ts";
import type { Report } from "../../bench/report.ts";
import { capacityAlone, capacityOnStage } from "../../bench/scenarios/capacity.ts";

const FOLDER = fileURLToPath(new URL("../../docs/plots", import.meta.url));

async function publishedReport(): Promise<Report> {
  return JSON.parse(await readFile(join(FOLDER, "capacity.json"), "utf8")) as Report;
}

const FIGURE: Figure = {
  file: "example",
  title: "An example",
  panels: [
    {
      x: { label: "callers", at: [1, 16, 1_000_000] },
      y: { label: "calls a second", scale: "log" },
      lines: [
        { label: "one", values: [10, null, 1000] },
        { label: "two", values: [20, 200, 2000] },
      ],
    },
  ],
};

describe("the plots in the documents", () => {
  it("are drawn from the figures beside them, byte for byte", async () => {
    const drawn = figuresOf(await publishedReport()).map((figure) => [`${figure.file}.svg`, draw(figure)]);
    const names = (await readdir(FOLDER)).filter((name) => name.endsWith(".svg"));
    const published = await Promise.all(
      names.map(async (name) => [name, await readFile(join(FOLDER, name), "utf8")]),
    );
    expect(Object.fromEntries(published)).to.deep.equal(Object.fromEntries(drawn));
  });

  it("are accompanied by tables generated from the same figures", async () => {
    const page = await readFile(join(FOLDER, "../performance.md"), "utf8");
    expect(withCapacity(page, await publishedReport())).to.equal(page);
  });

  it("are all shown in docs/performance.md", async () => {
    const page = await readFile(join(FOLDER, "../performance.md"), "utf8");
    const shown = [...page.matchAll(/!\[[^\]]+\]\(plots\/([^)]+)\.svg\)/g)].map(([, file]) => file);
    expect(shown.sort()).to.deep.equal(
      figuresOf(await publishedReport())
        .map(({ file }) => file)
        .sort(),
    );
  });
});

describe("the figures of the plots", () => {
  it("have the scenarios and the planned curves of the bench", async () => {
    const { scenarios } = await publishedReport();
    const isLarge = scenarios[0]?.curve?.at.includes(10_000_000) === true;
    const planned = [...capacityAlone({ large: isLarge }), ...capacityOnStage()];
    const found = scenarios.map(({ name, curve }) => ({
      name,
      plan: {
        over: curve?.over,
        at: curve?.at,
        lines: curve?.lines.map((line) => ({ name: line.name, unit: line.unit })),
      },
      points: curve?.lines.map(({ values }) => values.length),
    }));
    expect(found).to.deep.equal(
      planned.map(({ name, plan }) => ({ name, plan, points: plan.lines.map(() => plan.at.length) })),
    );
  });

  it("state the machine's properties and the method, but not its identity", async () => {
    const { machine, options } = await publishedReport();
    expect({ machine: Object.keys(machine), options: Object.keys(options) }).to.deep.equal({
      machine: ["node", "cpu", "cpus", "mariadb", ...("redis" in machine ? ["redis"] : [])],
      options: ["rounds", "seconds"],
    });
  });
});

describe("a plot", () => {
  it("does not depend on earlier drawings", () => {
    const first = draw(FIGURE);
    draw({ ...FIGURE, panels: [...FIGURE.panels, ...FIGURE.panels] });
    expect(draw(FIGURE)).to.equal(first);
  });

  it("labels its axes and lines, has a description, and supports dark mode", () => {
    const texts = [...draw(FIGURE).matchAll(/<(?:text|title)\b[^>]*>([^<]+)</g)].map(([, text]) => text);
    expect(texts).to.include.members([
      "An example",
      "callers",
      "calls a second",
      "one",
      "two",
      "1",
      "16",
      "1M",
    ]);
    expect(draw(FIGURE)).to.include("prefers-color-scheme:dark");
  });

  it("runs no script, loads nothing, and has one mark per figure", () => {
    const svg = draw(FIGURE);
    expect(svg).not.to.match(/<script|href|url\((?!#)|@import/);
    // Each mark, and one in the legend.
    const marks = (colour: string) => svg.split(`fill="${colour}"`).length - 1;
    expect([marks("#3b7dd8"), marks("#d9593d")]).to.deep.equal([2 + 1, 3 + 1]);
  });
});
