import { type Command, Option } from "commander";
import { type ExportOptions, exportTokens } from "./export-tokens.ts";
import type { CommandContext } from "./io.ts";
import { addListFilter } from "./list-filter.ts";
import { callingCommand } from "./operator-command.ts";

const FILTERS = ["includeExpired", "createdAfter", "createdBefore", "revokedBy", "jti"];

const HELP = `
One JSON object a line, those revoked last first:
  {"jti": "...", "expires_at": "2030-01-31T12:00:00.000Z", "created_at": "...",
   "reason": "...", "revoked_by": "..."}

What is revoked meanwhile may be missing; nothing that was there throughout is,
and nothing comes twice.

With --output the file appears once it is whole: until then it is FILE.part,
beside FILE.part.state, which tells --resume how to go on. A service that is
away for less than a minute only makes it take longer.

Examples:
  token-blacklist export --output blacklist.ndjson
  token-blacklist export --output blacklist.ndjson --resume
  token-blacklist export | gzip > blacklist.ndjson.gz
`;

export function addExportCommand(program: Command, context: CommandContext): void {
  const now = context.io.clock.now();
  const command = program
    .command("export")
    .summary("write all entries to a file")
    .description("Writes the entries of the blacklist, for a backup or to move elsewhere.")
    .option("--output <file>", "where to write; standard output unless given")
    .addOption(
      new Option("--resume", "go on with an export that was interrupted, and its filters").conflicts(FILTERS),
    )
    .addHelpText("after", HELP);
  callingCommand<ExportOptions>(addListFilter(command, now), context, {
    timeout: "10s",
    run: exportTokens,
  });
}
