import { FAULT_NAMES, type FaultName } from "./faults/faults.ts";

/** The history of a seed. */
export interface Plan {
  readonly seed: number;
  readonly fault: FaultName;
  readonly binaryLog: boolean;
}

/** Successive seeds go through all kinds of fault (or `faults`), then through all again with the other setting of the binary log. */
export function planOf(
  seed: number,
  {
    faults = FAULT_NAMES,
    binaryLog,
  }: { faults?: readonly FaultName[] | undefined; binaryLog?: boolean | undefined } = {},
): Plan {
  const kinds = faults.length;
  return {
    seed,
    fault: faults[seed % kinds] as FaultName,
    binaryLog: binaryLog ?? Math.floor(seed / kinds) % 2 === 1,
  };
}

/** The options that repeat the plan. */
export function replayOptions({ seed, fault, binaryLog }: Plan, index: "on" | "off" | undefined): string {
  const forIndex = index === undefined ? "" : ` --index ${index}`;
  return `--seed ${seed} --fault ${fault} --binlog ${binaryLog ? "on" : "off"}${forIndex}`;
}
