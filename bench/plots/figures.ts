import type { Curve } from "../curve.ts";
import type { Report } from "../report.ts";
import type { Figure, PanelLine } from "./figure.ts";
import { CHECKS, curveOf, ENTRIES, PRUNE, REVOCATIONS, valueAt, valuesOf } from "./readings.ts";

/** The numbers of callers that have a line in the plot over batch size. */
const BATCH_CALLERS = [1, 16, 64, 256];

/** A count as the label of a line: the first label names the unit, the others are numbers only. */
function counted(count: number, index: number, what: string): string {
  return index === 0 ? `${count} ${what}` : count.toLocaleString("en");
}

function line(label: string, curve: Curve, name: string): PanelLine {
  return { label, values: valuesOf(curve, name) };
}

function checks(report: Report): Figure {
  const curves = CHECKS.map(({ name, size }, index) => ({
    label: counted(size, index, "jti a call"),
    curve: curveOf(report, name),
  }));
  const x = { label: "callers", at: (curves[0] as (typeof curves)[number]).curve.at };
  const lines = (name: string) => curves.map(({ label, curve }) => line(label, curve, name));
  return {
    file: "checks",
    title: "Fully fresh IsBlacklisted of one service: calls a second, and p99, by callers and jtis a call",
    panels: [
      { x, y: { label: "calls a second", scale: "log" }, lines: lines("calls") },
      { x, y: { label: "p99, ms", scale: "log" }, lines: lines("p99") },
    ],
  };
}

/** The same measurements with the axes exchanged. */
function batches(report: Report): Figure {
  const sizes = CHECKS.map(({ size, name }) => ({ size, curve: curveOf(report, name) }));
  const x = { label: "jtis a call", at: sizes.map(({ size }) => size) };

  function overSizes(figure: (of: { curve: Curve; size: number; callers: number }) => number): PanelLine[] {
    return BATCH_CALLERS.map((callers, index) => ({
      label: counted(callers, index, "caller"),
      values: sizes.map(({ curve, size }) => figure({ curve, size, callers })),
    }));
  }

  const jtis = overSizes(({ curve, size, callers }) => valueAt(curve, "calls", callers) * size);
  const cpu = overSizes(
    ({ curve, size, callers }) =>
      (valueAt(curve, "CPU of the service", callers) + valueAt(curve, "CPU of the database", callers)) / size,
  );
  return {
    file: "batches",
    title: "Fully fresh IsBlacklisted of one service: jtis a second, and CPU a jti, by jtis a call",
    panels: [
      { x, y: { label: "jtis a second", scale: "log" }, lines: jtis },
      { x, y: { label: "CPU of service and database, µs a jti", scale: "log" }, lines: cpu },
    ],
  };
}

function revocations(report: Report): Figure {
  const curves = REVOCATIONS.map(({ name, size }, index) => ({
    label: counted(size, index, "token a call"),
    curve: curveOf(report, name),
  }));
  const x = { label: "callers", at: (curves[0] as (typeof curves)[number]).curve.at };
  const lines = (name: string) => curves.map(({ label, curve }) => line(label, curve, name));
  return {
    file: "revocations",
    title: "Blacklist of one service: tokens a second, and p99, by callers and tokens a call",
    panels: [
      { x, y: { label: "tokens a second", scale: "log" }, lines: lines("tokens") },
      { x, y: { label: "p99, ms", scale: "log" }, lines: lines("p99") },
    ],
  };
}

function entries(report: Report): Figure {
  const curve = curveOf(report, ENTRIES);
  const x = { label: "live entries", at: curve.at };
  return {
    file: "entries",
    title: "Memory of one service and size of its table, and how soon it is there, by live entries",
    panels: [
      {
        x,
        y: { label: "memory, and disk of the database, MB", scale: "log" },
        lines: [
          line("service", curve, "resident memory, loaded"),
          line("after load", curve, "resident memory, after load"),
          line("table, indexes", curve, "table and indexes"),
        ],
      },
      {
        x,
        y: { label: "time, ms", scale: "log" },
        lines: [
          line("open port", curve, "from start to open port"),
          line("right answers after it", curve, "from open port to right answers"),
          line("index", curve, "from open port to loaded index"),
        ],
      },
    ],
  };
}

function pruning(report: Report): Figure {
  const curve = curveOf(report, PRUNE);
  const x = { label: "calls a second of 20 jtis beside it", at: curve.at };
  return {
    file: "pruning",
    title: "Rows that Prune removes a second, and p99 of the checks beside it, by checks a second",
    panels: [
      { x, y: { label: "rows a second", scale: "linear" }, lines: [line("rows", curve, "rows pruned")] },
      {
        x,
        y: { label: "p99, ms", scale: "linear" },
        lines: [
          line("while pruning", curve, "p99 of checks while pruning"),
          line("alone", curve, "p99 of checks alone"),
        ],
      },
    ],
  };
}

/** All pictures of docs/performance.md. Throws if the report lacks data for one. */
export function figuresOf(report: Report): Figure[] {
  return [checks(report), batches(report), revocations(report), entries(report), pruning(report)];
}
