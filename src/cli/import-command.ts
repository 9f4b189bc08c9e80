import { type Command, Option } from "commander";
import { MAX_REASON_BYTES } from "../limits.ts";
import { type ImportOptions, importTokens } from "./import-tokens.ts";
import type { CommandContext } from "./io.ts";
import { operatorCommand } from "./operator-command.ts";
import { textUpTo } from "./option-parsers.ts";
import { formatOption } from "./row-writer.ts";

const HELP = `
One JSON object per line, as written by export, or with only a jti and an
expiry. All of these are accepted:
  {"jti": "...", "expires_at": "2030-01-31T12:00:00Z", "reason": "..."}
  {"jti": "...", "expires_at": 1900000000}
  {"jti": "...", "exp": 1900000000}
Numbers are epoch seconds, as in a token; milliseconds are rejected. created_at
and revoked_by are ignored: an entry is created now, by the caller.

Invalid lines are reported and skipped, and the exit code is then 2. Tokens that
have already expired are skipped and counted.

A checkpoint (default: FILE.import) records the progress, and is deleted in the
end. Repeating is safe with and without it: an expiry is only ever extended.

Examples:
  token-blacklist import blacklist.ndjson
  token-blacklist import blacklist.ndjson --resume
  gunzip -c blacklist.ndjson.gz | token-blacklist import - --reason "moved"
`;

export function addImportCommand(program: Command, context: CommandContext): void {
  const command = program
    .command("import")
    .summary("revoke all tokens in a file")
    .description("Revokes the tokens listed in a file, such as one written by export.")
    .argument("<file>", "the file, or - for standard input")
    .addOption(
      new Option("--reason <text>", "the reason for lines without one").argParser(textUpTo(MAX_REASON_BYTES)),
    )
    .option("--ignore-unknown", "ignore unknown fields")
    .option("--checkpoint <file>", "the file that records the progress")
    .option("--resume", "resume after the last completed line of an interrupted import")
    .addOption(formatOption())
    .addHelpText("after", HELP);
  operatorCommand<ImportOptions>(command, context, {
    timeout: "30s",
    run: (session, options, [file = ""]) => importTokens(session, options, file),
  });
}
