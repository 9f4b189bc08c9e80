import type { Report } from "../report.ts";
import { CHECKS, curveOf, ENTRIES, PRUNE, REVOCATIONS, valueAt } from "./readings.ts";

// Tables for sizing a deployment. Each says what was measured and what was calculated from measurements.

/** A load at which a service is neither idle nor overloaded. */
const CALLERS = 64;
const REVOKERS = 128;
/**
 * The used share of a core: a replica is one process with one answering thread, and the rest is for bursts and for a replica that
 * fails.
 */
const USED_SHARE = 0.5;
const SPARE_REPLICAS = 1;
const REQUEST_RATES = [1000, 10_000, 50_000, 200_000];
const REQUEST_SIZES = [1, 10, 100] as const;
const LIVE_ENTRIES = [100_000, 1_000_000, 10_000_000];
const REVOCATION_RATES = [1, 10, 100, 1000];
const LIVES = [
  { name: "15 minutes", seconds: 900 },
  { name: "a day", seconds: 86_400 },
];
const LEEWAY_SECONDS = 300;
const PRUNE_SECONDS = 3600;
const DAY_SECONDS = 86_400;

const MB = 1e6;
const GB = 1e9;

/** All tables, as Markdown. */
export function sizingTables(report: Report): string {
  return [costs(report), replicas(report), memory(report), revocations(report)].join("\n");
}

function checkCost(report: Report, size: number): { service: number; database: number; p99: number } {
  const name = CHECKS.find((check) => check.size === size)?.name as string;
  const curve = curveOf(report, name);
  return {
    service: valueAt(curve, "CPU of the service", CALLERS),
    database: valueAt(curve, "CPU of the database", CALLERS),
    p99: valueAt(curve, "p99", CALLERS),
  };
}

function revocationCost(report: Report, size: number, callers: number) {
  const name = REVOCATIONS.find((revocation) => revocation.size === size)?.name as string;
  const curve = curveOf(report, name);
  return {
    service: valueAt(curve, "CPU of the service", callers) / size,
    database: valueAt(curve, "CPU of the database", callers) / size,
    p99: valueAt(curve, "p99", callers),
    tokens: valueAt(curve, "tokens", callers),
    log: valueAt(curve, "redo log", callers),
  };
}

function entryCost(report: Report): {
  bytes: number;
  rowBytes: number;
  emptyBytes: number;
  loadMs: number;
} {
  const curve = curveOf(report, ENTRIES);
  const most = curve.at.at(-1) as number;
  return {
    bytes: valueAt(curve, "resident memory, by growth from the first", most),
    rowBytes: valueAt(curve, "table and indexes each", most),
    emptyBytes: valueAt(curve, "resident memory, after load", curve.at[0] as number) * MB,
    loadMs: valueAt(curve, "from open port to loaded index", most) / most,
  };
}

function costs(report: Report): string {
  const rows = REQUEST_SIZES.map((size) => {
    const { service, database, p99 } = checkCost(report, size);
    const what = size === 1 ? "one jti" : `${size} jtis`;
    return [`a fully fresh check of ${what}, ${CALLERS} callers`, micros(service), micros(database), ms(p99)];
  });
  const one = revocationCost(report, 1, REVOKERS);
  const many = revocationCost(report, 100, 16);
  rows.push(
    [
      `a revocation, one token a call, ${REVOKERS} callers`,
      micros(one.service),
      micros(one.database),
      ms(one.p99),
    ],
    [
      "a revocation, a hundred tokens a call, 16 callers",
      micros(many.service),
      micros(many.database),
      ms(many.p99),
    ],
  );
  const { bytes, rowBytes, emptyBytes } = entryCost(report);
  const pruned = valueAt(curveOf(report, PRUNE), "rows pruned", 1000);
  return [
    "**Cost of operations: measured.**",
    "",
    table(["", "CPU of the service", "CPU of the database", "p99 of the call"], rows),
    `A service takes ${round(emptyBytes / MB)} MB after load with hardly any entries (tens of MB more or less, since V8 frees memory late), and ${round(bytes)} bytes more for each entry; the database ${round(rowBytes)} bytes for each, indexes`,
    `included. Prune removes ${count(pruned)} rows a second beside 1,000 calls a second.`,
    "",
  ].join("\n");
}

function replicas(report: Report): string {
  const byOne = curveOf(report, CHECKS[0].name);
  // With few callers each check has a read of its own; with many they share reads, and the database does less.
  const databaseShare = Math.max(
    ...byOne.at.map(
      (callers) => (valueAt(byOne, "calls", callers) * valueAt(byOne, "CPU of the database", callers)) / 1e6,
    ),
  );
  const rows = REQUEST_RATES.map((rate) => {
    const cells = REQUEST_SIZES.map((size) => {
      const cores = ((rate / size) * checkCost(report, size).service) / 1e6;
      return `${round(cores)} core${round(cores) === "1" ? "" : "s"}, ${Math.ceil(cores / USED_SHARE) + SPARE_REPLICAS} replicas`;
    });
    return [count(rate), ...cells];
  });
  return [
    "**Gateways that send checks: calculated** from the CPU above. A replica is loaded to half a core, and there is one spare replica.",
    "",
    table(
      [
        "checks a second",
        "one a call, as proxies send",
        "ten a call, where clients batch",
        "a hundred a call",
      ],
      rows,
    ),
    `The database: at most ${round(databaseShare)} of a core for each replica, at any load (measured with one jti a call, the maximum over all numbers of callers).`,
    "",
  ].join("\n");
}

function memory(report: Report): string {
  const curve = curveOf(report, ENTRIES);
  const { bytes, rowBytes, emptyBytes, loadMs } = entryCost(report);
  const rows = LIVE_ENTRIES.map((entries) => {
    if (curve.at.includes(entries)) {
      return [
        count(entries),
        megabytes(valueAt(curve, "resident memory, after load", entries) * MB),
        megabytes(valueAt(curve, "table and indexes", entries) * MB),
        seconds(valueAt(curve, "from open port to loaded index", entries)),
        "measured",
      ];
    }
    return [
      count(entries),
      megabytes(emptyBytes + entries * bytes),
      megabytes(entries * rowBytes),
      seconds(entries * loadMs),
      "calculated",
    ];
  });
  return [
    "**Live entries.** Give a replica half as much memory again: its table grows in steps, and V8 frees memory late.",
    "",
    table(
      ["live entries", "memory of a replica", "table and indexes", "index loaded after a start", ""],
      rows,
    ),
  ].join("\n");
}

function revocations(report: Report): string {
  const { rowBytes } = entryCost(report);
  const { log, tokens } = revocationCost(report, 1, REVOKERS);
  const rows = REVOCATION_RATES.map((rate) => {
    const sizes = LIVES.map((life) => {
      const live = rate * (life.seconds + LEEWAY_SECONDS);
      const stored = rate * (life.seconds + LEEWAY_SECONDS + PRUNE_SECONDS);
      return `${count(live)} live, ${megabytes(stored * rowBytes)}`;
    });
    return [count(rate), ...sizes, megabytes(rate * log * DAY_SECONDS), `${round((rate / tokens) * 100)} %`];
  });
  return [
    "**Revocations: calculated** from a row's bytes and the redo log measured for one, with five minutes of leeway and an hour between prunings. The last column is the share of what one",
    `service wrote (${count(tokens)} a second, one token a call, ${REVOKERS} callers, measured); the commits of all replicas are serialized.`,
    "",
    table(
      [
        "revocations a second",
        ...LIVES.map(({ name }) => `entries and table, tokens valid for ${name}`),
        "redo log a day",
        "of one service",
      ],
      rows,
    ),
  ].join("\n");
}

function table(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return `${[line(headings), line(headings.map(() => "---")), ...rows.map(line)].join("\n")}\n`;
}

/** Two digits: more would suggest a precision that is not there. */
function round(value: number): string {
  return Number(value.toPrecision(2)).toLocaleString("en", { maximumFractionDigits: 6 });
}

function count(value: number): string {
  return Number(value.toPrecision(3)).toLocaleString("en", { maximumFractionDigits: 0 });
}

function micros(value: number): string {
  return `${round(value)} µs`;
}

function ms(value: number): string {
  return `${round(value)} ms`;
}

function seconds(milliseconds: number): string {
  return `${round(milliseconds / 1000)} s`;
}

function megabytes(bytes: number): string {
  return bytes >= GB ? `${round(bytes / GB)} GB` : `${round(bytes / MB)} MB`;
}
