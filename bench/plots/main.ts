// Draws the plots of docs/performance.md, and writes its tables, from the figures in docs/plots/capacity.json.

import { readFileSync, writeFileSync } from "node:fs";
import type { Report } from "../report.ts";
import { draw } from "./draw.ts";
import { figuresOf } from "./figures.ts";
import { withCapacity } from "./page.ts";

const docs = new URL("../../docs/", import.meta.url);
const report = JSON.parse(readFileSync(new URL("plots/capacity.json", docs), "utf8")) as Report;
// All are drawn before the first is written: a figure that cannot be drawn leaves the page and its plots as they were.
const drawings = figuresOf(report).map((figure) => [`plots/${figure.file}.svg`, draw(figure)] as const);
const page = withCapacity(readFileSync(new URL("performance.md", docs), "utf8"), report);
for (const [path, content] of [...drawings, ["performance.md", page] as const]) {
  writeFileSync(new URL(path, docs), content);
}
