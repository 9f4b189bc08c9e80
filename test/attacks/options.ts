import { parseArgs } from "node:util";
import type { Attack } from "./attack.ts";
import { ATTACKS } from "./attacks.ts";

export interface Options {
  readonly attacks: readonly Attack[];
  /** The `main.js` of another build to attack as well. */
  readonly beside: string | undefined;
  readonly seconds: number;
  readonly json: boolean;
}

export const USAGE = `usage: make attacks ARGS="[options]"
  --only NAMES   only these attacks, separated by commas:
                 ${ATTACKS.map(({ name }) => name)
                   .join(" ")
                   .replace(/(.{60,75}?) /g, "$1\n                 ")}
  --seconds N    how long each lasts at most (6)
                 One that misses a bound is repeated twice: the median of each time counts, the worst of all else
  --beside PATH  also attack the service of this main.js, for comparison
  --json         one JSON object a line instead of text
`;

/** Throws a RangeError or a TypeError that explains the problem of `args`. */
export function readOptions(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { type: "string" },
      seconds: { type: "string", default: "6" },
      beside: { type: "string" },
      json: { type: "boolean", default: false },
    },
  });
  const names = values.only?.split(",") ?? ATTACKS.map(({ name }) => name);
  const attacks = names.map((name) => {
    const attack = ATTACKS.find((one) => one.name === name);
    if (attack === undefined) throw new RangeError(`--only: no attack is named "${name}"`);
    return attack;
  });
  const seconds = Number(values.seconds);
  if (!(seconds >= 1 && seconds <= 600)) throw new RangeError("--seconds must be between 1 and 600");
  return { attacks, seconds, beside: values.beside, json: values.json };
}
