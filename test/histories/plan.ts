import { FAULT_NAMES, type FaultName } from "./faults/faults.ts";

/** Which history a seed stands for. */
export interface Plan {
  readonly seed: number;
  readonly fault: FaultName;
  readonly binaryLog: boolean;
}

/** Seeds that follow one another go through all kinds of fault (or those of `faults`), then through all of them with the binary log the other way. */
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

/** The options that make the same plan again. */
export function replayOptions({ seed, fault, binaryLog }: Plan, index: "on" | "off" | undefined): string {
  const forIndex = index === undefined ? "" : ` --index ${index}`;
  return `--seed ${seed} --fault ${fault} --binlog ${binaryLog ? "on" : "off"}${forIndex}`;
}
