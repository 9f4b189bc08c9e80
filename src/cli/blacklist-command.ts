import { type Command, Option } from "commander";
import {
  type BlacklistResponse,
  BlacklistResult_Outcome as Outcome,
} from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { ignoringErrors } from "../client/client-error.ts";
import type { EpochMs } from "../entry.ts";
import { MAX_REASON_BYTES } from "../limits.ts";
import { certainlyChangedNothing, EXIT, UsageError } from "./errors.ts";
import { InputWarnings } from "./input-warnings.ts";
import type { CommandContext } from "./io.ts";
import { readJwt } from "./jwt-input.ts";
import { operatorCommand, type RowOptions } from "./operator-command.ts";
import { textUpTo, timeArgument } from "./option-parsers.ts";
import { retryQuota } from "./retry.ts";
import { type Column, formatOption, rowWriter } from "./row-writer.ts";
import type { Session } from "./session.ts";
import { parseTimeArgument, type TimeArgument } from "./time-argument.ts";
import { BatchFailures, tokenBatches } from "./token-batches.ts";
import { type InputToken, inputTokens } from "./token-input.ts";
import { type TokenRow, timeWithDistance, tokenRow } from "./token-row.ts";

const HELP = `
Each line of standard input is a jti, byte for byte, or an object:
  {"jti": "...", "expires_at": "2030-01-31T12:00:00Z", "reason": "..."}
--expires-at and --reason apply to lines without their own.

<when> is a time (2030-01-31T12:00:00Z), epoch seconds as in a token's exp
(1900000000), or a duration from now (1h).

--jwt reads a token instead, from a file, or from standard input (-). If the
service knows the token's issuer, it verifies the token and takes jti and
expiry from it. An expired token is not an error: the command succeeds
without revoking anything.
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

interface BlacklistOptions extends RowOptions {
  readonly expiresAt?: TimeArgument;
  readonly reason?: string;
}

export function addBlacklistCommand(program: Command, context: CommandContext): void {
  const now = context.io.clock.now();
  const command = program
    .command("blacklist")
    .summary("revoke tokens")
    .description(
      "Revokes tokens. Once the command succeeds, no gateway accepts them. A revocation cannot be undone.",
    )
    .argument("[jtis...]", "the jti of each token, or - to read them from standard input")
    .option(
      "--expires-at <when>",
      "when the tokens expire: their exp claim",
      timeArgument({ now, durationsAre: "ahead" }),
    )
    .option(
      "--reason <text>",
      "why the tokens are revoked; stored with each entry",
      textUpTo(MAX_REASON_BYTES),
    )
    // Has no value parser: commander's error would quote the value, which may be a token given in place of a file.
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
    code = session.report(error, ["the token"]);
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
  return ignoringErrors(() => unverifiedClaims(token).exp === undefined) === true;
}

/** Resolves to the exit code. Durations such as `1h` count from `now`, the same for all tokens. */
async function blacklistTokens(
  session: Session,
  options: BlacklistOptions,
  { jtis, now }: { jtis: readonly string[]; now: EpochMs },
): Promise<number> {
  const { client, callOptions } = session;
  const rows = rowWriter({ session, format: options.output, columns: blacklistColumns(now) });
  const input = inputTokens(jtis, session.io.stdin);
  const progress = session.progress("blacklisted", { total: input.total, printsRows: true });
  const failures = new BatchFailures(session);
  const counts = new Map<string, number>();
  const warnings = new InputWarnings((line) => session.note(line));
  const send = async (tokens: readonly InputToken[]) => {
    const request = { tokens: tokens.map((token) => requestFor(token, { options, now, warnings })) };
    warnings.checkJtis(tokens);
    return retryQuota(session.io, () => client.blacklist(request, callOptions));
  };
  for await (const result of tokenBatches(session, input, send)) {
    if ("error" in result) {
      failures.add(result);
      continue;
    }
    const printed = blacklistRows(result.output);
    for (const { outcome } of printed) counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
    await rows.write(printed);
    progress.add(printed.length);
  }
  await rows.end();
  const stored = [...counts.values()].reduce((sum, count) => sum + count, 0);
  if (failures.exitCode !== undefined) {
    session.note(howToContinue(stored, failures.changedNothing));
    return failures.exitCode;
  }
  if (stored === 0) throw new UsageError("standard input contains no token");
  if (stored !== 1) session.noteOnTerminal(summary(stored, counts));
  return EXIT.ok;
}

interface Defaults {
  readonly options: BlacklistOptions;
  readonly now: EpochMs;
  readonly warnings: InputWarnings;
}

function requestFor({ jti, origin, expiresAt, reason }: InputToken, { options, now, warnings }: Defaults) {
  const expiry = expiresAt === undefined ? options.expiresAt : parseExpiry(expiresAt, origin, now);
  if (expiry === undefined) throw new UsageError(`${origin}: has no expiry: give one with --expires-at`);
  warnings.checkExpiry(expiry, origin, now);
  const token = { case: "jti", value: jti } as const;
  return { token, expiresAt: expiry, reason: reason ?? options.reason ?? "" };
}

function parseExpiry(text: string, origin: string, now: EpochMs): TimeArgument {
  try {
    return parseTimeArgument(text, { now, durationsAre: "ahead" });
  } catch (error) {
    throw new UsageError(`${origin}: expires_at ${(error as Error).message}`);
  }
}

/** The advice after a failure. `changedNothing`: no failed call can have stored anything. */
function howToContinue(stored: number, changedNothing: boolean): string {
  if (stored > 0) return `${tokensWere(stored)} certainly stored. Repeating the whole command is safe.`;
  if (changedNothing) return "Nothing was stored.";
  return "It is not certain whether anything was stored. Repeating the command is safe.";
}

function summary(stored: number, counts: ReadonlyMap<string, number>): string {
  const parts = [...counts].map(([outcome, count]) => `${count} ${outcome.replaceAll("_", " ")}`);
  return `${tokensWere(stored)} blacklisted: ${parts.join(", ")}.`;
}

function tokensWere(count: number): string {
  return count === 1 ? "1 token was" : `${count} tokens were`;
}

interface BlacklistRow extends TokenRow {
  readonly outcome: string;
  readonly revision: string;
}

function blacklistColumns(now: EpochMs): Column<BlacklistRow>[] {
  return [
    { title: "jti", text: ({ jti }) => jti },
    { title: "outcome", text: ({ outcome }) => outcome.replaceAll("_", " ") },
    { title: "expires", text: ({ expires_at }) => timeWithDistance(expires_at, now) },
  ];
}

function blacklistRows({ results, revision }: BlacklistResponse): BlacklistRow[] {
  return results.map(({ token, outcome }) => ({
    // The client has checked that it is present.
    ...tokenRow(token as NonNullable<typeof token>),
    outcome: Outcome[outcome].toLowerCase(),
    revision,
  }));
}
