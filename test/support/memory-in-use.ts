import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { turn } from "./held-store.ts";

/** The memory of this process after garbage collection. */
export async function memoryInUse(): Promise<NodeJS.MemoryUsage> {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  // Objects freed in one round may release more in the next.
  for (let round = 0; round < 3; round++) {
    collect();
    await turn();
  }
  return process.memoryUsage();
}
