import { parseArgs } from "node:util";

export interface Options {
  readonly minutes: number;
  readonly seed: number;
  readonly json: boolean;
}

const MAX_MINUTES = 7 * 24 * 60;

export const USAGE = `usage: make soak ARGS="[options]"
  --minutes N  how long it runs (5); memory is evaluated from 25 on
  --seed N     repeats the faults and requests of the run that printed it
  --json       one JSON object a line instead of text
`;

/** Throws a RangeError or a TypeError that explains the problem of `args`. */
export function readOptions(args: readonly string[], { random }: { random: () => number }): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      minutes: { type: "string", default: "5" },
      seed: { type: "string" },
      json: { type: "boolean", default: false },
    },
  });
  const minutes = Number(values.minutes);
  if (!(minutes > 0 && minutes <= MAX_MINUTES))
    throw new RangeError(`--minutes must be more than 0, and at most ${MAX_MINUTES}`);
  const seed = values.seed ?? String(Math.floor(random() * 1e9));
  if (!/^\d{1,9}$/.test(seed)) throw new RangeError("--seed must be a whole number below 10^9");
  return { minutes, seed: Number(seed), json: values.json };
}
