import type { Figures } from "./figures.ts";

const HEADINGS = [
  "attack",
  "build",
  "sent",
  "MiB",
  "left",
  "livez p99",
  "worst",
  "check quiet",
  "p99",
  "new",
  "verdict",
];
const WIDTHS = [22, 6, 10, 6, 5, 9, 7, 11, 7, 6, 0];

export function formatHead(): string {
  return row(HEADINGS);
}

/** One attack on one build. */
export function formatFigures(figures: Figures, build: string): string {
  const { name, sent, lived, riseMib, leftMib, probe, check, newcomers, misses } = figures;
  return row([
    name,
    build,
    String(sent),
    riseMib.toFixed(0),
    lived ? leftMib.toFixed(0) : "",
    milliseconds(probe.p99),
    milliseconds(probe.worst),
    milliseconds(check.quietP99),
    milliseconds(check.p99),
    `${newcomers.answered}/${newcomers.asked}`,
    misses.length === 0 ? "holds" : `MISSES: ${misses.join("; ")}`,
  ]);
}

function row(cells: readonly string[]): string {
  return cells
    .map((cell, index) => (index < 2 ? cell.padEnd(WIDTHS[index] ?? 0) : cell.padStart(WIDTHS[index] ?? 0)))
    .join(" ")
    .trimEnd();
}

function milliseconds(ms: number): string {
  return Number.isFinite(ms) ? ms.toFixed(ms < 10 ? 1 : 0) : "never";
}
