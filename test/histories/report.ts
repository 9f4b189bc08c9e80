import { FAULT_NAMES, type FaultName } from "./faults/faults.ts";
import { replayOptions } from "./plan.ts";
import type { Result } from "./result.ts";

/** One line, followed by indented findings and the command to repeat it. */
export function formatResult(result: Result, index: "on" | "off" | undefined): string {
  const { seed, fault, binaryLog, verdict, problems } = result;
  const figures = `${result.operations} operations, ${result.duringFault} during the fault, ${result.answered} answered, ${result.byGateways} asked of gateways, ${result.fromCopies} answers from copies, ${result.fromService} from the service, ${result.snapshots} snapshots, ${(result.milliseconds / 1000).toFixed(1)} s`;
  const lines = [`seed ${seed}: ${verdict} (${fault}, binlog ${binaryLog ? "on" : "off"}, ${figures})`];
  if (verdict !== "ok") {
    for (const problem of problems) lines.push(...problem.split("\n").map((line) => `  ${line}`));
    lines.push(`  again: make histories ARGS="${replayOptions(result, index)}"`);
  }
  return lines.join("\n");
}

/** The number of histories of a kind, and their minimum and total sizes. */
export interface Summary {
  readonly fault: FaultName | "all";
  readonly histories: number;
  readonly withBinaryLog: number;
  readonly operations: number;
  readonly fewestOperations: number;
  readonly duringFault: number;
  readonly leastShareDuringFault: number;
  readonly byGateways: number;
  readonly fromCopies: number;
  /** Cached verdicts excluded. */
  readonly leastShareFromCopies: number;
  readonly snapshots: number;
  readonly violations: number;
  readonly insufficient: number;
}

export function summarize(results: readonly Result[]): Summary[] {
  const kinds = FAULT_NAMES.map((fault) =>
    summary(
      fault,
      results.filter((result) => result.fault === fault),
    ),
  );
  return [...kinds.filter(({ histories }) => histories > 0), summary("all", results)];
}

function summary(fault: Summary["fault"], results: readonly Result[]): Summary {
  const total = (figure: (result: Result) => number) =>
    results.reduce((sum, result) => sum + figure(result), 0);
  return {
    fault,
    histories: results.length,
    withBinaryLog: total(({ binaryLog }) => Number(binaryLog)),
    operations: total(({ operations }) => operations),
    fewestOperations: Math.min(...results.map(({ operations }) => operations)),
    duringFault: total(({ duringFault }) => duringFault),
    leastShareDuringFault: Math.min(
      ...results.map(({ duringFault, operations }) => duringFault / operations),
    ),
    byGateways: total(({ byGateways }) => byGateways),
    fromCopies: total(({ fromCopies }) => fromCopies),
    leastShareFromCopies: Math.min(
      ...results.map(({ fromCopies, fromService }) => fromCopies / (fromCopies + fromService)),
    ),
    snapshots: total(({ snapshots }) => snapshots),
    violations: total(({ verdict }) => Number(verdict === "violation")),
    insufficient: total(({ verdict }) => Number(verdict === "insufficient")),
  };
}

/** A table in Markdown. */
export function formatSummary(summaries: readonly Summary[]): string {
  const rows = summaries.map((row) => [
    row.fault,
    String(row.histories),
    String(row.withBinaryLog),
    row.operations.toLocaleString("en"),
    row.fewestOperations.toLocaleString("en"),
    row.duringFault.toLocaleString("en"),
    `${Math.floor(row.leastShareDuringFault * 100)} %`,
    row.byGateways.toLocaleString("en"),
    row.fromCopies.toLocaleString("en"),
    `${Math.floor(row.leastShareFromCopies * 100)} %`,
    row.snapshots.toLocaleString("en"),
    String(row.violations),
    String(row.insufficient),
  ]);
  const cells = [HEADINGS, ...rows];
  const widths = HEADINGS.map((_, column) => Math.max(...cells.map((row) => (row[column] as string).length)));
  const line = (row: readonly string[]) =>
    `| ${row.map((cell, column) => (column === 0 ? cell.padEnd(widths[column] as number) : cell.padStart(widths[column] as number))).join(" | ")} |`;
  const rule = `| ${widths.map((width, column) => (column === 0 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`)).join(" | ")} |`;
  return [line(HEADINGS), rule, ...rows.map(line)].join("\n");
}

const HEADINGS = [
  "Fault",
  "Histories",
  "Of them with binlog",
  "Operations",
  "Fewest",
  "During the fault",
  "Least share",
  "Checks at gateways",
  "Answers from copies",
  "Least share",
  "Snapshots",
  "Violations",
  "Insufficient",
];
