import { type Command, Option } from "commander";
import type { CommandContext } from "./io.ts";
import { addListFilter } from "./list-filter.ts";
import { DEFAULT_LIMIT, type ListOptions, listTokens } from "./list-tokens.ts";
import { operatorCommand } from "./operator-command.ts";
import { positiveInteger } from "./option-parsers.ts";

const HELP = `
<when> is a time (2030-01-31T12:00:00Z), epoch seconds (1900000000), or how long
ago (1h: an hour ago). All filters must match.

A table shows times in UTC to the second, and escapes invisible characters in
jtis and reasons. --output json and ndjson print exact values.

Examples:
  token-blacklist list
  token-blacklist list --created-after 1h
  token-blacklist list --jti 3f2b8c10 --include-expired
  token-blacklist list --all --output ndjson > blacklist.ndjson
`;

export function addListCommand(program: Command, context: CommandContext): void {
  const now = context.io.clock.now();
  const command = program
    .command("list")
    .summary("show which tokens were revoked, when and why")
    .description("Lists the entries of the blacklist, most recently revoked first.")
    .addOption(
      new Option("--limit <count>", "show at most this many")
        .argParser(positiveInteger)
        .default(DEFAULT_LIMIT),
    )
    .addOption(new Option("--all", "show all entries").conflicts("limit"))
    .addHelpText("after", HELP);
  operatorCommand<ListOptions>(addListFilter(command, now), context, {
    timeout: "10s",
    run: (session, options) => listTokens(session, options, now),
  });
}
