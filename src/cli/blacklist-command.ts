import { type Command, Option } from "commander";
import { MAX_REASON_BYTES } from "../limits.ts";
import { blacklistJwt } from "./blacklist-jwt.ts";
import { type BlacklistOptions, blacklistTokens } from "./blacklist-tokens.ts";
import type { CommandContext } from "./io.ts";
import { operatorCommand } from "./operator-command.ts";
import { textUpTo, timeArgument } from "./option-parsers.ts";

const HELP = `
Each line of standard input is a jti, byte for byte, or an object:
  {"jti": "...", "expires_at": "2030-01-31T12:00:00Z", "reason": "..."}
where --expires-at and --reason stand in for what an object leaves out.

<when> is a time (2030-01-31T12:00:00Z), epoch seconds as in a token's exp
(1900000000), or how far ahead (1h).

--jwt reads a token itself instead, from a file, or from standard input (-).
Where the service knows its issuer, it verifies the token and takes jti and
expiry from it. A token that has expired already is fine too: there is nothing
to revoke. Anywhere else a raw token is refused: an entry for it would revoke
nothing.

Every 1000 tokens are stored together or not at all. Repeating is harmless: an
entry is only ever extended. Put -- before jtis that begin with a dash.

Examples:
  token-blacklist blacklist 3f2b8c10 --expires-at 1h --reason "laptop stolen"
  token-blacklist blacklist - --expires-at 2030-01-31T12:00:00Z < jtis.txt
  token-blacklist blacklist --jwt - --reason "laptop stolen" < token.txt
  token-blacklist list --all --output ndjson |
    token-blacklist blacklist - --address other-host:50051
`;

export function addBlacklistCommand(program: Command, context: CommandContext): void {
  const now = context.io.clock.now();
  const command = program
    .command("blacklist")
    .summary("revoke tokens")
    .description(
      "Revokes tokens: once it has answered, no gateway accepts them any more. There is no way to take it back.",
    )
    .argument("[jtis...]", "the jti of each token, or - to read them from standard input")
    .addOption(
      new Option("--expires-at <when>", "when the tokens expire by themselves: their exp").argParser(
        timeArgument({ now, relative: "ahead" }),
      ),
    )
    .addOption(
      new Option("--reason <text>", "why, for whoever investigates later").argParser(
        textUpTo(MAX_REASON_BYTES),
      ),
    )
    .addOption(
      new Option("--jwt <file>", "revoke the token that the file holds, or with - standard input").conflicts(
        "expiresAt",
      ),
    )
    .addHelpText("after", HELP);
  operatorCommand<BlacklistOptions>(command, context, {
    timeout: "10s",
    run: (session, { jwt, ...options }, jtis) =>
      jwt === undefined
        ? blacklistTokens(session, options, { jtis, now })
        : blacklistJwt(session, { ...options, jwt }, { jtis, now }),
  });
}
