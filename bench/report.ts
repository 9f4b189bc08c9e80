import type { Curve } from "./curve.ts";
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
    `Node ${node}, ${cpus} x ${cpu}, MariaDB ${mariadb ?? "not started"}, Redis ${redis ?? "not installed: skipped"}`,
    `Medians of ${options.rounds} rounds, slices of ${options.seconds} s, contestants alternating. cpu: of the serving processes, per unit.`,
  ];
  const throughputs = scenarios.flatMap(({ rows = [] }) => rows.map(cellsOf));
  const widths = widthsOf([HEADINGS, ...throughputs]);
  for (const { name, unit, rows, figures, curve, skipped } of scenarios) {
    lines.push("", `${name} (${unit})`);
    if (rows !== undefined) lines.push(...format([HEADINGS, ...rows.map(cellsOf)], widths));
    if (figures !== undefined) {
      const cells = [
        ["", ...figures.headings],
        ...figures.rows.map((row) => [row.name, ...row.values.map(figure)]),
      ];
      lines.push(...format(cells, widthsOf(cells)));
    }
    if (curve !== undefined) {
      const cells = cellsOfCurve(curve);
      lines.push(...format(cells, widthsOf(cells)));
    }
    lines.push(...skipped.map((what) => `  skipped: ${what}`));
  }
  const targets = scenarios.flatMap((scenario) => scenario.targets);
  if (targets.length > 0) lines.push("", "Targets", ...targets.map(formatTarget));
  return `${lines.join("\n")}\n`;
}

function widthsOf(table: readonly (readonly string[])[]): number[] {
  const [headings = []] = table;
  return headings.map((_, column) => Math.max(...table.map((cells) => cells[column]?.length ?? 0)));
}

function format(table: readonly (readonly string[])[], widths: readonly number[]): string[] {
  return table.map((cells) => {
    const padded = cells.map((cell, column) =>
      column === 0 ? cell.padEnd(widths[column] as number) : cell.padStart(widths[column] as number),
    );
    return `  ${padded.join("  ")}`.trimEnd();
  });
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

function cellsOfCurve({ over, at, lines }: Curve): string[][] {
  return [
    [over, ...at.map((quantity) => quantity.toLocaleString("en"))],
    ...lines.map(({ name, unit, values }) => [
      `${name}, ${unit}`,
      ...values.map((value) => figure(value ?? Number.NaN)),
    ]),
  ];
}

function decimals(value: number | undefined): string {
  return value === undefined ? "" : value.toFixed(2);
}

/** At least three digits, regardless of the magnitude. */
function figure(value: number): string {
  if (Number.isNaN(value)) return "";
  if (Number.isInteger(value) || Math.abs(value) >= 100) return Math.round(value).toLocaleString("en");
  return value.toFixed(Math.abs(value) < 10 ? 2 : 1);
}

function formatTarget({ what, measured, bound, met }: Target): string {
  const wanted = "atLeast" in bound ? `at least ${figure(bound.atLeast)}` : `at most ${figure(bound.atMost)}`;
  return `  ${met ? "met   " : "MISSED"}  ${what}: ${figure(measured)}, ${wanted}`;
}
