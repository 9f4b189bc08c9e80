import { plansOf, runCampaign } from "./campaign.ts";
import { type Options, readOptions, USAGE } from "./options.ts";
import { formatResult, formatSummary, summarize } from "./report.ts";
import type { Result } from "./result.ts";

const interrupted = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => interrupted.abort());

/** The options; undefined after printing the problem with them. */
function options(): Options | undefined {
  try {
    return readOptions(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n${USAGE}`);
    process.exitCode = 2;
    return undefined;
  }
}

async function run({ json, failFast, index, ...which }: Options): Promise<void> {
  const results: Result[] = [];
  const enough = new AbortController();
  await runCampaign(plansOf(which), {
    index,
    signal: AbortSignal.any([interrupted.signal, enough.signal]),
    onResult(result) {
      results.push(result);
      process.stdout.write(`${json ? JSON.stringify(result) : formatResult(result, index)}\n`);
      if (failFast && result.verdict !== "ok") enough.abort();
    },
  });
  const summary = summarize(results);
  process.stdout.write(json ? `${JSON.stringify({ summary })}\n` : `\n${formatSummary(summary)}\n`);
  if (interrupted.signal.aborted) process.exitCode = 130;
  else if (results.some(({ verdict }) => verdict !== "ok")) process.exitCode = 1;
}

const chosen = options();
if (chosen !== undefined) await run(chosen);
