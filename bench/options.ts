import { parseArgs } from "node:util";

export interface Options {
  /** Counted rounds, after one round to warm up. In each round every contestant gets one slice. */
  readonly rounds: number;
  /** Length of one slice. */
  readonly seconds: number;
  /** Runs only the scenarios whose name contains this text. */
  readonly only: string;
  readonly json: boolean;
  /** Also runs what takes many minutes: a table of ten million. */
  readonly large: boolean;
  /** `dist/main.js` of another build; only the comparison of the two builds is measured. */
  readonly against: string | undefined;
  /** The folder for CPU profiles of the service and the gateways; absent: none. */
  readonly profileFolder: string | undefined;
}

export const USAGE = `usage: node --import tsx bench/main.ts [options]
  --rounds N      counted rounds, 1 to 50 (5)
  --seconds S     length of a slice, 0.1 to 60 (0.5)
  --only TEXT     only the scenarios whose name contains TEXT
  --large         also ten million rows, which take minutes to fill in and 8 GiB of memory, and a million
                  rows exported and imported
  --against MAIN  only compare IsBlacklisted with another build, of which MAIN is dist/main.js
  --json          JSON instead of a table
  --cpu-prof DIR  have the service, and each gateway, write a CPU profile there
`;

/** Throws a RangeError or a TypeError that says what is wrong with `args`. */
export function readOptions(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      rounds: { type: "string", default: "5" },
      seconds: { type: "string", default: "0.5" },
      only: { type: "string", default: "" },
      large: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      against: { type: "string" },
      "cpu-prof": { type: "string" },
    },
  });
  const rounds = Number(values.rounds);
  const seconds = Number(values.seconds);
  if (!Number.isInteger(rounds) || rounds < 1 || rounds > 50) {
    throw new RangeError("--rounds must be between 1 and 50");
  }
  if (!(seconds >= 0.1 && seconds <= 60)) throw new RangeError("--seconds must be between 0.1 and 60");
  const { only, large, json, against, "cpu-prof": profileFolder } = values;
  return { rounds, seconds, only, large, json, against, profileFolder };
}
