import { type Command, Option } from "commander";
import { MAX_REASON_BYTES } from "../limits.ts";
import { type ImportOptions, importTokens } from "./import-tokens.ts";
import type { CommandContext } from "./io.ts";
import { operatorCommand } from "./operator-command.ts";
import { textUpTo } from "./option-parsers.ts";

const HELP = `
One JSON object a line, as export writes it, or with as little as a jti and an
expiry. All of these are taken:
  {"jti": "...", "expires_at": "2030-01-31T12:00:00Z", "reason": "..."}
  {"jti": "...", "expires_at": 1900000000}
  {"jti": "...", "exp": 1900000000}
Numbers count seconds, as in a token; milliseconds are refused. created_at and
revoked_by are passed over: the entry is created now, by whoever imports.

Lines that are wrong are named and left out, the others are stored; the exit
code is 2 then. What has expired by itself is left out and counted.

A checkpoint (FILE.import unless named) says how far it came, and is removed in
the end. Repeating is safe with and without it: an entry is only ever extended.

Examples:
  token-blacklist import blacklist.ndjson
  token-blacklist import blacklist.ndjson --resume
  gunzip -c blacklist.ndjson.gz | token-blacklist import - --reason "moved"
`;

export function addImportCommand(program: Command, context: CommandContext): void {
  const command = program
    .command("import")
    .summary("revoke all tokens in a file")
    .description("Revokes the tokens that a file names, such as one that export wrote.")
    .argument("<file>", "the file, or - for standard input")
    .addOption(
      new Option("--reason <text>", "why, for lines that give no reason").argParser(
        textUpTo(MAX_REASON_BYTES),
      ),
    )
    .option("--ignore-unknown", "pass over fields that mean nothing here")
    .option("--checkpoint <file>", "where to note how far it came")
    .option("--resume", "go on after the lines that an interrupted import has dealt with")
    .addHelpText("after", HELP);
  operatorCommand<ImportOptions>(command, context, {
    timeout: "30s",
    run: (session, options, [file = ""]) => importTokens(session, options, file),
  });
}
