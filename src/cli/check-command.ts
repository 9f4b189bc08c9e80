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

--jwt reads a token instead, from a file, or from standard input (-), and checks
its jti. The token is decoded locally, not verified, and not sent.

By default a check is fully fresh: it includes every revocation that any replica
has acknowledged.

Exit code: 0 if none of the tokens is blacklisted, 1 if at least one is, 69 if
the service could not decide. Only 0 means that all tokens may be accepted.

Examples:
  token-blacklist check 3f2b8c10
  token-blacklist check - --output ndjson < jtis.txt
  token-blacklist check 3f2b8c10 --max-staleness 5s
  token-blacklist check --jwt - < token.txt
`;

export function addCheckCommand(program: Command, context: CommandContext): void {
  const command = program
    .command("check")
    .summary("check whether tokens are blacklisted")
    .description("Checks whether each token is blacklisted, as a gateway does.")
    .argument("[jtis...]", "the jti of each token, or - to read them from standard input")
    .addOption(
      new Option("--max-staleness <duration>", "accept a result that is up to this old")
        .argParser(duration)
        .conflicts("atLeastRevision"),
    )
    .option(
      "--at-least-revision <revision>",
      "accept a result that includes this revision of an earlier response",
    )
    .option("--jwt <file>", "check the token in this file, or with - on standard input")
    .addHelpText("after", HELP);
  operatorCommand<CheckOptions>(command, context, {
    timeout: "10s",
    run: (session, { jwt, ...options }, jtis) =>
      jwt === undefined ? checkTokens(session, options, jtis) : checkJwt(session, { ...options, jwt }, jtis),
  });
}
