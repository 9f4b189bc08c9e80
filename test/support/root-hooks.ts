import { configureGlobal } from "fast-check";
import Mocha from "mocha";
import { seed } from "./seed.ts";
import { stopShared } from "./shared.ts";

const { consoleLog } = Mocha.reporters.Base;
const LINGER_MS = 10_000;

// Also loaded by each process that runs files in parallel: all of a run have the seed that it prints.
process.env.TEST_SEED = String(seed);
configureGlobal({ seed });

export function mochaGlobalSetup(): void {
  consoleLog(`\n  Random seed ${seed} (repeat with TEST_SEED=${seed})`);
}

export async function mochaGlobalTeardown(): Promise<void> {
  await stopShared();
  setTimeout(failForLingering, LINGER_MS).unref();
}

/** Something left open is a bug, and mocha would wait for it for ever. The timer itself keeps nothing alive. */
function failForLingering(): void {
  consoleLog(`Something was left open and keeps the process alive: ${process.getActiveResourcesInfo()}`);
  // Mocha sets the code of its own run when the process exits; this listener comes after.
  process.once("exit", () => {
    process.exitCode = 1;
  });
  process.exit();
}
