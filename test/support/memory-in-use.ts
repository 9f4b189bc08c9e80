import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { turn } from "./held-store.ts";

/** The memory of this process once what nobody uses has been given back. */
export async function memoryInUse(): Promise<NodeJS.MemoryUsage> {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  // What is freed in one round may be what the next one needs to free more.
  for (let round = 0; round < 3; round++) {
    collect();
    await turn();
  }
  return process.memoryUsage();
}
