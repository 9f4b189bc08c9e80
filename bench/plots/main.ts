// Draws the plots of docs/performance.md, and writes its tables, from the figures in docs/plots/capacity.json.

import { readFileSync, writeFileSync } from "node:fs";
import type { Report } from "../report.ts";
import { draw } from "./draw.ts";
import { figuresOf } from "./figures.ts";
import { withCapacity } from "./page.ts";

const docs = new URL("../../docs/", import.meta.url);
const report = JSON.parse(readFileSync(new URL("plots/capacity.json", docs), "utf8")) as Report;
for (const figure of figuresOf(report)) {
  writeFileSync(new URL(`plots/${figure.file}.svg`, docs), draw(figure));
}
const page = new URL("performance.md", docs);
writeFileSync(page, withCapacity(readFileSync(page, "utf8"), report));
