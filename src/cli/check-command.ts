import { type Command, Option } from "commander";
import { checkJwt } from "./check-jwt.ts";
import { type CheckOptions, checkTokens } from "./check-tokens.ts";
import type { CommandContext } from "./io.ts";
import { operatorCommand } from "./operator-command.ts";
import { duration } from "./option-parsers.ts";

const HELP = `
Each line of standard input is a jti, byte for byte, or an object with a "jti",
such as the other commands print with --output ndjson. Put -- before jtis that
begin with a dash.

--jwt reads a token itself instead, from a file, or from standard input (-), and
checks the jti in it. The token is decoded here, not verified, and not sent.

Without an option the answer is fully fresh: it takes every revocation into
account that any replica has acknowledged.

Exit code: 0 if none of the tokens is blacklisted, 1 if at least one is, 69 if
the service could not tell. Only 0 means that all of them may pass.

Examples:
  token-blacklist check 3f2b8c10
  token-blacklist check - --output ndjson < jtis.txt
  token-blacklist check 3f2b8c10 --max-staleness 5s
  token-blacklist check --jwt - < token.txt
`;

export function addCheckCommand(program: Command, context: CommandContext): void {
  const command = program
    .command("check")
    .summary("tell which tokens are blacklisted")
    .description("Tells of each token whether it is blacklisted, as a gateway would be told.")
    .argument("[jtis...]", "the jti of each token, or - to read them from standard input")
    .addOption(
      new Option("--max-staleness <duration>", "be content with an answer that was true this long ago")
        .argParser(duration)
        .conflicts("atLeastRevision"),
    )
    .option("--at-least-revision <revision>", "be content with what an earlier answer's revision includes")
    .option("--jwt <file>", "check the token that the file holds, or with - standard input")
    .addHelpText("after", HELP);
  operatorCommand<CheckOptions>(command, context, {
    timeout: "10s",
    run: (session, { jwt, ...options }, jtis) =>
      jwt === undefined ? checkTokens(session, options, jtis) : checkJwt(session, { ...options, jwt }, jtis),
  });
}
