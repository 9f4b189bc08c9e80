import { commandLine } from "../support/command-line.ts";
import { type Options, readOptions, USAGE } from "./options.ts";
import { formatMinute, formatResult } from "./report.ts";
import { runSoak } from "./soak.ts";
import { failuresOf } from "./verdict.ts";

const MINUTE_MS = 60_000;
/** A replica's change log fills in seven minutes, and its heap reaches a stable size within a quarter of an hour. */
const MAX_WARM_UP_MS = 20 * MINUTE_MS;
/** The share of a shorter run, which leaves enough to show a trend. */
const WARM_UP_SHARE = 0.4;

async function run({ minutes, seed, json }: Options, signal: AbortSignal): Promise<void> {
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
    signal,
  });
  const failures = failuresOf(result);
  print({ result, failures }, formatResult(result, failures));
  if (signal.aborted) process.exitCode = 130;
  else if (failures.length > 0) process.exitCode = 1;
}

const command = commandLine((args) => readOptions(args, { random: Math.random }), USAGE);
if (command !== undefined) await run(command.options, command.signal);
