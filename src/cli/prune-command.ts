import { type Command, Option } from "commander";
import type { CommandContext } from "./io.ts";
import { operatorCommand } from "./operator-command.ts";
import { positiveInteger, timeArgument } from "./option-parsers.ts";
import { type PruneOptions, pruneTokens } from "./prune-tokens.ts";

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

export function addPruneCommand(program: Command, context: CommandContext): void {
  const command = program
    .command("prune")
    .summary("delete entries of tokens that have expired")
    .description("Deletes entries of tokens that no verifier accepts any more, because they have expired.")
    .addOption(
      new Option(
        "--max-count <count>",
        "delete at most this many; with --all, per call (default: 10000)",
      ).argParser(positiveInteger),
    )
    .option("--all", "repeat until no expired entry is left")
    .option("--dry-run", "delete nothing, only count")
    .addOption(
      new Option("--expired-before <when>", "only entries of tokens that expired before this time").argParser(
        timeArgument({ now: context.io.clock.now(), relative: "ago" }),
      ),
    )
    .addHelpText("after", HELP);
  operatorCommand<PruneOptions>(command, context, { timeout: "1m", run: pruneTokens });
}
