import { type Command, Option } from "commander";
import { type ExportOptions, exportTokens } from "./export-tokens.ts";
import type { CommandContext } from "./io.ts";
import { addListFilter } from "./list-filter.ts";
import { operatorCommand } from "./operator-command.ts";

const FILTERS = ["includeExpired", "createdAfter", "createdBefore", "revokedBy", "jti"];

const HELP = `
One JSON object per line, most recently revoked first:
  {"jti": "...", "expires_at": "2030-01-31T12:00:00.000Z", "created_at": "...",
   "reason": "...", "revoked_by": "..."}

Entries created during the export may be missing. An entry that exists
throughout is written exactly once.

With --output, the export is written to FILE.part, and its state, for --resume,
to FILE.part.state; FILE.part is renamed to FILE when it is complete. An outage
of the service of less than a minute only delays the export.

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
    .description("Writes the entries of the blacklist, for a backup or for another service.")
    .option("--output <file>", "the file to write (default: standard output)")
    .addOption(new Option("--resume", "resume an interrupted export, with its filters").conflicts(FILTERS))
    .addHelpText("after", HELP);
  operatorCommand<ExportOptions>(addListFilter(command, now), context, {
    timeout: "10s",
    run: exportTokens,
  });
}
