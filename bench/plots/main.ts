// Draws the plots of docs/performance.md, and writes its tables, from docs/plots/capacity.json.

import { readFileSync, writeFileSync } from "node:fs";
import type { Report } from "../report.ts";
import { draw } from "./draw.ts";
import { figuresOf } from "./figures.ts";
import { withCapacity } from "./page.ts";

const docs = new URL("../../docs/", import.meta.url);
const report = JSON.parse(readFileSync(new URL("plots/capacity.json", docs), "utf8")) as Report;
// All plots are drawn before the first is written: if one fails, the page and its plots are unchanged.
const drawings = figuresOf(report).map((figure) => [`plots/${figure.file}.svg`, draw(figure)] as const);
const page = withCapacity(readFileSync(new URL("performance.md", docs), "utf8"), report);
for (const [path, content] of [...drawings, ["performance.md", page] as const]) {
  writeFileSync(new URL(path, docs), content);
}
