import type { Command } from "commander";
import { MAX_PRUNE_COUNT } from "../limits.ts";
import { EXIT } from "./errors.ts";
import type { CommandContext } from "./io.ts";
import { operatorCommand, type RowOptions } from "./operator-command.ts";
import { positiveInteger, timeArgument } from "./option-parsers.ts";
import { type Column, formatOption, rowWriter } from "./row-writer.ts";
import type { Session } from "./session.ts";
import type { TimeArgument } from "./time-argument.ts";

const HELP = `
The service prunes automatically (PRUNE_INTERVAL); use this command if that is
turned off or too slow. It never deletes an entry for which a token may still
have to be rejected, and is safe to run at any time.

<when> is a time (2030-01-31T12:00:00Z), epoch seconds (1900000000), or how long
ago (30d: thirty days ago). It can only narrow what is deleted.

Examples:
  token-blacklist prune --dry-run
  token-blacklist prune --all
  token-blacklist prune --all --expired-before 30d
`;

interface PruneOptions extends RowOptions {
  readonly maxCount?: number;
  readonly all?: boolean;
  readonly dryRun?: boolean;
  readonly expiredBefore?: TimeArgument;
}

interface PruneRow {
  readonly pruned_count: number;
  readonly has_more: boolean;
  readonly dry_run: boolean;
}

/** After this many consecutive calls that delete nothing although there is more, the command gives up: concurrent pruners explain one or two. */
const MAX_IDLE_CALLS = 3;

export function addPruneCommand(program: Command, context: CommandContext): void {
  const command = program
    .command("prune")
    .summary("delete entries of tokens that have expired")
    .description("Deletes entries of tokens that no verifier accepts any more, because they have expired.")
    .option(
      "--max-count <count>",
      "delete at most this many; with --all, per call (default: 10000, or 100000 with --all --dry-run)",
      positiveInteger,
    )
    .option("--all", "repeat until no expired entry is left")
    .option("--dry-run", "delete nothing, only count")
    .option(
      "--expired-before <when>",
      "only entries of tokens that expired before this time",
      timeArgument({ now: context.io.clock.now(), durationsAre: "ago" }),
    )
    .addOption(formatOption())
    .addHelpText("after", HELP);
  operatorCommand<PruneOptions>(command, context, { timeout: "1m", run: pruneTokens });
}

/** Resolves to the exit code. Continues after the reader of the output has closed it. */
async function pruneTokens(session: Session, options: PruneOptions): Promise<number> {
  const { dryRun = false, all = false } = options;
  const rows = rowWriter({ session, format: options.output, columns: columnsFor(dryRun) });
  // A dry run deletes nothing, so a second call would count the same entries again.
  const untilDone = all && !dryRun;
  const progress = session.progress("pruned", { printsRows: false });
  let pruned = 0;
  let idleCalls = 0;
  let hasMore: boolean;
  try {
    do {
      const answer = await session.client.prune(requestFor(options), session.callOptions);
      pruned += answer.prunedCount;
      hasMore = answer.hasMore;
      idleCalls = answer.prunedCount > 0 ? 0 : idleCalls + 1;
      progress.add(answer.prunedCount);
    } while (untilDone && hasMore && idleCalls < MAX_IDLE_CALLS);
  } catch (error) {
    const code = session.report(error);
    if (untilDone) session.note(`At least ${pruned} pruned. Repeating the command is safe.`);
    return code;
  }
  await rows.write([{ pruned_count: pruned, has_more: hasMore, dry_run: dryRun }]);
  await rows.end();
  if (!hasMore) return EXIT.ok;
  if (untilDone) {
    session.note("error: there is more to prune, but the service deletes nothing: see its log");
    return EXIT.failed;
  }
  if (!dryRun) session.note("There is more to prune: repeat, or use --all.");
  return EXIT.ok;
}

function requestFor({ maxCount, all, dryRun = false, expiredBefore }: PruneOptions) {
  return {
    maxCount: maxCount ?? (all && dryRun ? MAX_PRUNE_COUNT : 0),
    dryRun,
    ...(expiredBefore && { expiredBefore }),
  };
}

function columnsFor(dryRun: boolean): Column<PruneRow>[] {
  return [
    { title: dryRun ? "would prune" : "pruned", text: ({ pruned_count }) => String(pruned_count) },
    { title: "more left", text: ({ has_more }) => (has_more ? "yes" : "no") },
  ];
}
