import { inChild } from "../index/child.ts";
import type { LookUpsInput, LookUpTimes } from "../index/look-ups.ts";
import type { JtiKind } from "../index/numbered-jtis.ts";
import { type Target, target } from "../result.ts";
import type { Ground } from "../stage/ground.ts";
import type { Scenario } from "./scenario.ts";

const KINDS = [
  { kind: "uuid", name: "UUIDs" },
  { kind: "opaque", name: "opaque jtis" },
] as const;
const TABLES = ["index", "Map"] as const;

/** The maximum nanoseconds of a look-up, half of them misses. */
const BOUNDS: Readonly<Record<number, Readonly<Record<JtiKind, number>>>> = {
  1000000: { uuid: 250, opaque: 500 },
  10000000: { uuid: 500, opaque: 800 },
};

function lookUpScenario(entries: number): Scenario<Ground> {
  const name = `Index: look-ups among ${entries.toLocaleString("en")} entries`;
  return {
    name,
    async run() {
      const rows: { name: string; values: number[] }[] = [];
      const targets: Target[] = [];
      for (const { kind, name: ofKind } of KINDS) {
        for (const table of TABLES) {
          const times = await inChild<LookUpsInput, LookUpTimes>("look-ups.ts", { table, kind, entries });
          rows.push({ name: `${table}, ${ofKind}`, values: [times.hitNs, times.missNs, times.mixedNs] });
          const bound = BOUNDS[entries]?.[kind];
          if (table === "index" && bound !== undefined) {
            targets.push(target(`${name}, ${ofKind}, ns each`, times.mixedNs, { atMost: bound }));
          }
        }
      }
      const figures = { headings: ["hit", "miss", "one in two a miss"], rows };
      return { name, unit: "ns each", figures, targets, skipped: [] };
    },
  };
}

export function lookUpScenarios(): Scenario<Ground>[] {
  return [lookUpScenario(10_000), lookUpScenario(1_000_000), lookUpScenario(10_000_000)];
}
