import type { Machine } from "./machine.ts";
import type { Options } from "./options.ts";
import type { Row, ScenarioResult, Target } from "./result.ts";

export interface Report {
  readonly machine: Machine;
  readonly options: Pick<Options, "rounds" | "seconds">;
  readonly scenarios: readonly ScenarioResult[];
}

const HEADINGS = ["", "per second", "p50 ms", "p99 ms", "cpu µs", "ours / it"];

export function formatReport({ machine, options, scenarios }: Report): string {
  const { node, cpu, cpus, mariadb, redis } = machine;
  const lines = [
    `Node ${node}, ${cpus} x ${cpu}, MariaDB ${mariadb}, Redis ${redis ?? "not installed: skipped"}`,
    `Medians of ${options.rounds} rounds, slices of ${options.seconds} s, contestants alternating. cpu: of the serving processes, per unit.`,
  ];
  const sections = scenarios.map(({ name, unit, rows, skipped }) => ({
    title: `${name} (${unit})`,
    cells: rows.map(cellsOf),
    skipped,
  }));
  const table = [HEADINGS, ...sections.flatMap(({ cells }) => cells)];
  const widths = HEADINGS.map((_, column) => Math.max(...table.map((cells) => cells[column]?.length ?? 0)));
  function line(cells: readonly string[]): string {
    const padded = cells.map((cell, column) =>
      column === 0 ? cell.padEnd(widths[column] as number) : cell.padStart(widths[column] as number),
    );
    return `  ${padded.join("  ")}`.trimEnd();
  }
  for (const { title, cells, skipped } of sections) {
    lines.push("", title, line(HEADINGS), ...cells.map(line), ...skipped.map((what) => `  skipped: ${what}`));
  }
  const targets = scenarios.flatMap((scenario) => scenario.targets);
  if (targets.length > 0) lines.push("", "Targets", ...targets.map(formatTarget));
  return `${lines.join("\n")}\n`;
}

function cellsOf({ name, perSecond, p50Ms, p99Ms, cpuMicros, ratio }: Row): string[] {
  return [
    name,
    Math.round(perSecond).toLocaleString("en"),
    decimals(p50Ms),
    decimals(p99Ms),
    cpuMicros === undefined ? "" : cpuMicros.toFixed(cpuMicros < 20 ? 1 : 0),
    decimals(ratio),
  ];
}

function decimals(value: number | undefined): string {
  return value === undefined ? "" : value.toFixed(2);
}

function formatTarget({ what, measured, bound, met }: Target): string {
  const wanted = "atLeast" in bound ? `at least ${bound.atLeast}` : `at most ${bound.atMost}`;
  return `  ${met ? "met   " : "MISSED"}  ${what}: ${measured.toFixed(2)}, ${wanted}`;
}
