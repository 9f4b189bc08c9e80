import { configureGlobal } from "fast-check";
import Mocha from "mocha";
import { seed } from "./seed.ts";
import { stopShared } from "./shared.ts";

const { consoleLog } = Mocha.reporters.Base;
const LINGER_MS = 10_000;

// Also loaded by each process of a parallel run, so that all use the printed seed.
process.env.TEST_SEED = String(seed);
configureGlobal({ seed });

export function mochaGlobalSetup(): void {
  consoleLog(`\n  Random seed ${seed} (repeat with TEST_SEED=${seed})`);
}

export async function mochaGlobalTeardown(): Promise<void> {
  await stopShared();
  setTimeout(failForLingering, LINGER_MS).unref();
}

/** A handle left open is a bug, on which mocha would wait forever. The timer itself does not keep the process alive. */
function failForLingering(): void {
  consoleLog(`Something was left open and keeps the process alive: ${process.getActiveResourcesInfo()}`);
  // Mocha sets its exit code when the process exits; this listener runs afterwards.
  process.once("exit", () => {
    process.exitCode = 1;
  });
  process.exit();
}
