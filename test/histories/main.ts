import { commandLine } from "../support/command-line.ts";
import { plansOf, runCampaign } from "./campaign.ts";
import { type Options, readOptions, USAGE } from "./options.ts";
import { formatResult, formatSummary, summarize } from "./report.ts";
import type { Result } from "./result.ts";

async function run({ json, failFast, index, ...which }: Options, signal: AbortSignal): Promise<void> {
  const results: Result[] = [];
  const enough = new AbortController();
  await runCampaign(plansOf(which), {
    index,
    signal: AbortSignal.any([signal, enough.signal]),
    onResult(result) {
      results.push(result);
      process.stdout.write(`${json ? JSON.stringify(result) : formatResult(result, index)}\n`);
      if (failFast && result.verdict === "violation") enough.abort();
    },
  });
  const summary = summarize(results);
  process.stdout.write(json ? `${JSON.stringify({ summary })}\n` : `\n${formatSummary(summary)}\n`);
  if (signal.aborted) process.exitCode = 130;
  else if (results.some(({ verdict }) => verdict !== "ok")) process.exitCode = 1;
}

const command = commandLine(readOptions, USAGE);
if (command !== undefined) await run(command.options, command.signal);
