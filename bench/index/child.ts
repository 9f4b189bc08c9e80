import { execFile } from "node:child_process";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

/** Room for ten million keys in a Map, and the probes. */
const HEAP_MIB = 8192;

/**
 * Runs one of the programs in this folder in a process of its own, so that earlier work does not affect its speed or memory, and
 * returns its result. See {@link input} and {@link report}.
 */
export async function inChild<I, R>(program: string, given: I): Promise<R> {
  const running = promisify(execFile)(process.execPath, [
    "--expose-gc",
    `--max-old-space-size=${HEAP_MIB}`,
    "--import",
    import.meta.resolve("tsx"),
    fileURLToPath(new URL(program, import.meta.url)),
    JSON.stringify(given),
  ]);
  const kill = () => void running.child.kill("SIGKILL");
  process.once("exit", kill);
  try {
    return JSON.parse((await running).stdout) as R;
  } finally {
    process.off("exit", kill);
  }
}

/** In the child: its input. */
export function input<I>(): I {
  return JSON.parse(process.argv[2] as string) as I;
}

/** In the child: reports the result. Call it once, and print nothing else. */
export function report<R>(result: R): void {
  process.stdout.write(JSON.stringify(result));
}

/** In the child: collects all garbage, and waits until V8's threads have freed it. */
export async function collectGarbage(): Promise<void> {
  if (globalThis.gc === undefined) throw new Error("this needs --expose-gc");
  globalThis.gc();
  await delay(300);
}
