// Draws the plots of docs/performance.md from the figures that stand beside them.

import { readFileSync, writeFileSync } from "node:fs";
import type { Report } from "../report.ts";
import { draw } from "./draw.ts";
import { figuresOf } from "./figures.ts";

const folder = new URL("../../docs/plots/", import.meta.url);
const report = JSON.parse(readFileSync(new URL("capacity.json", folder), "utf8")) as Report;
for (const figure of figuresOf(report)) {
  writeFileSync(new URL(`${figure.file}.svg`, folder), draw(figure));
  process.stdout.write(`docs/plots/${figure.file}.svg\n`);
}
