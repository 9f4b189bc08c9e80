import { parseArgs } from "node:util";
import { FAULT_NAMES, type FaultName, isFaultName } from "./faults/faults.ts";

export interface Options {
  /** First and last seed, both included. */
  readonly seeds: { readonly from: number; readonly to: number };
  /** The kinds of fault that the seeds go through. */
  readonly faults: readonly FaultName[];
  /** Absent: derived from the seed. */
  readonly binaryLog: boolean | undefined;
  /** Absent: the service's default. */
  readonly index: "on" | "off" | undefined;
  readonly json: boolean;
  /** Stop at the first history that is not "ok". */
  readonly failFast: boolean;
}

const MAX_SEEDS = 100_000;

export const USAGE = `usage: make histories ARGS="[options]"
  --seeds FROM-TO  one history for each of these seeds (1-${2 * FAULT_NAMES.length}: every kind, without and with a binary log)
  --seed N         the history of one seed
  --fault NAMES    only these kinds of fault, separated by commas:
                   ${FAULT_NAMES.join(" ").replace(/(.{60,75}) /g, "$1\n                   ")}
  --binlog on|off  override the seed's choice of a binary log
  --index on|off   the service's setting INDEX
  --fail-fast      end with the first violation
  --json           one JSON object a line instead of text
`;

/** Throws a RangeError or a TypeError that explains the problem of `args`. */
export function readOptions(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seeds: { type: "string" },
      seed: { type: "string" },
      fault: { type: "string" },
      binlog: { type: "string" },
      index: { type: "string" },
      "fail-fast": { type: "boolean", default: false },
      json: { type: "boolean", default: false },
    },
  });
  const faults = values.fault?.split(",") ?? FAULT_NAMES;
  if (!faults.every(isFaultName)) {
    throw new RangeError(`--fault must name some of ${FAULT_NAMES.join(", ")}`);
  }
  const binaryLog = onOrOff("--binlog", values.binlog);
  return {
    seeds: readSeeds(values.seeds ?? values.seed ?? `1-${2 * faults.length}`),
    faults,
    binaryLog: binaryLog === undefined ? undefined : binaryLog === "on",
    index: onOrOff("--index", values.index),
    json: values.json,
    failFast: values["fail-fast"],
  };
}

function readSeeds(text: string): Options["seeds"] {
  const match = /^(\d{1,9})(?:-(\d{1,9}))?$/.exec(text);
  const from = Number(match?.[1]);
  const to = Number(match?.[2] ?? match?.[1]);
  if (!(to >= from && to - from < MAX_SEEDS)) {
    throw new RangeError(`--seeds must be FROM-TO, at most ${MAX_SEEDS} of them, and --seed a whole number`);
  }
  return { from, to };
}

function onOrOff(name: string, value: string | undefined): "on" | "off" | undefined {
  if (value === undefined || value === "on" || value === "off") return value;
  throw new RangeError(`${name} must be on or off`);
}
