import { type Command, Option } from "commander";
import { type CheckOptions, checkTokens } from "./check-tokens.ts";
import type { CommandContext } from "./io.ts";
import { readJwt } from "./jwt-input.ts";
import { operatorCommand } from "./operator-command.ts";
import { duration } from "./option-parsers.ts";
import { formatOption } from "./row-writer.ts";
import type { Session } from "./session.ts";
import { inputTokens, oneToken } from "./token-input.ts";
import { UsageError } from "./usage-error.ts";

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
    // Not parsed by commander, which would quote a token given by mistake.
    .option("--jwt <file>", "check the token in this file, or with - on standard input")
    .addOption(formatOption())
    .addHelpText("after", HELP);
  operatorCommand<CheckOptions & { readonly jwt?: string }>(command, context, {
    timeout: "10s",
    run: (session, { jwt, ...options }, jtis) =>
      jwt === undefined
        ? checkTokens(session, options, inputTokens(jtis, session.io.stdin))
        : checkJwt(session, options, { jwt, jtis }),
  });
}

/** Checks the jti of the token that --jwt names. Resolves to the exit code. */
async function checkJwt(
  session: Session,
  options: CheckOptions,
  { jwt, jtis }: { readonly jwt: string; readonly jtis: readonly string[] },
): Promise<number> {
  const token = await readJwt(jwt, { stdin: session.io.stdin, otherArguments: jtis });
  const jti = await jtiIn(token);
  session.note(
    "The token was decoded, not verified: the result applies to its jti, and does not say whether the token is genuine.",
  );
  return checkTokens(session, options, oneToken({ jti, origin: "the token" }));
}

/** Throws a UsageError that quotes nothing of the token. */
async function jtiIn(token: string): Promise<string> {
  // Imported here, because no other command needs these modules.
  const { InvalidTokenError, unverifiedClaims } = await import("../auth/verify.ts");
  const { validJti } = await import("../auth/claims.ts");
  try {
    const { jti } = unverifiedClaims(token);
    if (jti === undefined) throw new InvalidTokenError("has no jti: it cannot be blacklisted");
    return validJti(jti);
  } catch (error) {
    if (error instanceof InvalidTokenError) throw new UsageError(`the token ${error.message}`);
    throw error;
  }
}
