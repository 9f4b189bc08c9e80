import { type Command, Option } from "commander";
import type { BlacklistResponse } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import type { EpochMs } from "../entry.ts";
import { MAX_REASON_BYTES } from "../limits.ts";
import {
  type BlacklistOptions,
  blacklistColumns,
  blacklistRows,
  blacklistTokens,
  howToContinue,
} from "./blacklist-tokens.ts";
import { EXIT } from "./exit-code.ts";
import { certainlyChangedNothing } from "./explain-error.ts";
import type { CommandContext } from "./io.ts";
import { readJwt } from "./jwt-input.ts";
import { operatorCommand } from "./operator-command.ts";
import { textUpTo, timeArgument } from "./option-parsers.ts";
import { formatOption, rowWriter } from "./row-writer.ts";
import type { Session } from "./session.ts";

const HELP = `
Each line of standard input is a jti, byte for byte, or an object:
  {"jti": "...", "expires_at": "2030-01-31T12:00:00Z", "reason": "..."}
--expires-at and --reason apply to lines without their own.

<when> is a time (2030-01-31T12:00:00Z), epoch seconds as in a token's exp
(1900000000), or a duration from now (1h).

--jwt reads a token instead, from a file, or from standard input (-). If the
service knows the token's issuer, it verifies the token and takes jti and
expiry from it. An expired token is accepted: there is nothing to revoke.
A raw token in any other place is rejected: an entry for it would revoke
nothing.

Up to 1000 tokens are stored atomically. Repeating the command is safe: an
expiry is only ever extended. Put -- before jtis that begin with a dash.

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
      "Revokes tokens. Once the command succeeds, no gateway accepts them. A revocation cannot be undone.",
    )
    .argument("[jtis...]", "the jti of each token, or - to read them from standard input")
    .addOption(
      new Option("--expires-at <when>", "when the tokens expire: their exp claim").argParser(
        timeArgument({ now, relative: "ahead" }),
      ),
    )
    .addOption(
      new Option("--reason <text>", "why the tokens are revoked; stored with each entry").argParser(
        textUpTo(MAX_REASON_BYTES),
      ),
    )
    // Not parsed by commander, which would quote a token given by mistake.
    .addOption(
      new Option("--jwt <file>", "revoke the token in this file, or with - on standard input").conflicts(
        "expiresAt",
      ),
    )
    .addOption(formatOption())
    .addHelpText("after", HELP);
  operatorCommand<BlacklistOptions & { readonly jwt?: string }>(command, context, {
    timeout: "10s",
    run: (session, { jwt, ...options }, jtis) =>
      jwt === undefined
        ? blacklistTokens(session, options, { jtis, now })
        : blacklistJwt(session, options, { jwt, jtis, now }),
  });
}

/** Revokes the token that --jwt names; its jti and expiry are taken from the token. Resolves to the exit code. */
async function blacklistJwt(
  session: Session,
  { reason = "", output }: BlacklistOptions,
  { jwt, jtis, now }: { jwt: string; jtis: readonly string[]; now: EpochMs },
): Promise<number> {
  const value = await readJwt(jwt, { stdin: session.io.stdin, otherArguments: jtis });
  const rows = rowWriter({ session, format: output, columns: blacklistColumns(now) });
  let response: BlacklistResponse | undefined;
  let code: number = EXIT.ok;
  try {
    const token = { token: { case: "jwt", value } as const, reason };
    response = await session.client.blacklist({ tokens: [token] }, session.callOptions);
  } catch (error) {
    code = session.fail(error, ["the token"]);
    session.note(howToContinue(0, certainlyChangedNothing(error)));
    if (await hasNoExpiry(value)) {
      session.note(
        "A token without exp, such as an offline token, is revoked by its jti: token-blacklist blacklist --expires-at <when> -- JTI",
      );
    }
  }
  if (response !== undefined) await rows.write(blacklistRows(response));
  await rows.end();
  return code;
}

/** Also false if the claims cannot be read. */
async function hasNoExpiry(token: string): Promise<boolean> {
  // Imported here, because no other command needs this module.
  const { unverifiedClaims } = await import("../auth/verify.ts");
  try {
    return unverifiedClaims(token).exp === undefined;
  } catch {
    return false;
  }
}
