import { type Options, readOptions, USAGE } from "./options.ts";
import { formatMinute, formatResult } from "./report.ts";
import { runSoak } from "./soak.ts";
import { failuresOf } from "./verdict.ts";

const MINUTE_MS = 60_000;
/** A replica's log of changes takes seven minutes to fill; its heap had found its size around that after a quarter of an hour. */
const MAX_WARM_UP_MS = 20 * MINUTE_MS;
/** Of a shorter run; what is left shows at least where things go. */
const WARM_UP_SHARE = 0.4;

const interrupted = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => interrupted.abort());

/** The options, or undefined after saying what is wrong with them. */
function options(): Options | undefined {
  try {
    return readOptions(process.argv.slice(2), { random: Math.random });
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n${USAGE}`);
    process.exitCode = 2;
    return undefined;
  }
}

async function run({ minutes, seed, json }: Options): Promise<void> {
  const print = (value: object, text: string) =>
    void process.stdout.write(`${json ? JSON.stringify(value) : text}\n`);
  const durationMs = minutes * MINUTE_MS;
  print({ seed, minutes }, `seed ${seed}, ${minutes} minutes`);
  const result = await runSoak({
    seed,
    durationMs,
    warmUpMs: Math.min(MAX_WARM_UP_MS, durationMs * WARM_UP_SHARE),
    reportMs: MINUTE_MS,
    onMinute: (minute) => print(minute, formatMinute(minute)),
    signal: interrupted.signal,
  });
  const failures = failuresOf(result);
  print({ result, failures }, formatResult(result, failures));
  if (interrupted.signal.aborted) process.exitCode = 130;
  else if (failures.length > 0) process.exitCode = 1;
}

const chosen = options();
if (chosen !== undefined) await run(chosen);
