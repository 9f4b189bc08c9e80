import { type Command, Option } from "commander";
import { Verdict } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { type Freshness, requestFor } from "../client/checked-tokens.ts";
import { clampedToTimer } from "../time/clock.ts";
import { EXIT, UsageError } from "./errors.ts";
import { InputWarnings } from "./input-warnings.ts";
import type { CommandContext } from "./io.ts";
import { readJwt } from "./jwt-input.ts";
import { operatorCommand, type RowOptions } from "./operator-command.ts";
import { duration } from "./option-parsers.ts";
import { type Column, formatOption, rowWriter } from "./row-writer.ts";
import type { Session } from "./session.ts";
import { BatchFailures, tokenBatches } from "./token-batches.ts";
import { type InputTokens, inputTokens, oneToken } from "./token-input.ts";

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

interface CheckOptions extends RowOptions {
  /** Milliseconds. */
  readonly maxStaleness?: number;
  readonly atLeastRevision?: string;
}

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

interface CheckRow {
  readonly jti: string;
  readonly verdict: string;
  readonly revision: string;
}

const COLOURS: Readonly<Record<string, number>> = { not_blacklisted: 32, blacklisted: 31, unknown: 33 };

const COLUMNS: readonly Column<CheckRow>[] = [
  { title: "jti", text: ({ jti }) => jti },
  {
    title: "verdict",
    text: ({ verdict }) => verdict.replaceAll("_", " "),
    colour: ({ verdict }) => COLOURS[verdict] as number,
  },
];

/** Resolves to the exit code. Continues after the reader of the output has closed it, because the exit code is an answer too. */
async function checkTokens(session: Session, options: CheckOptions, tokens: InputTokens): Promise<number> {
  const { client, callOptions } = session;
  const rows = rowWriter({ session, format: options.output, columns: COLUMNS });
  const progress = session.progress("checked", { total: tokens.total, printsRows: true });
  const failures = new BatchFailures(session);
  const freshness = freshnessOf(options);
  const counts = { all: 0, blacklisted: 0, unknown: 0 };
  const warnings = new InputWarnings((line) => session.note(line));
  const batches = tokenBatches(session, tokens, (batch) => {
    warnings.checkJtis(batch);
    const jtis = batch.map(({ jti }) => jti);
    return client.isBlacklisted(requestFor(jtis, freshness), callOptions);
  });
  for await (const result of batches) {
    if ("error" in result) {
      failures.add(result);
      continue;
    }
    const { input, output } = result;
    for (const verdict of output.verdicts) {
      counts.all += 1;
      if (verdict === Verdict.BLACKLISTED) counts.blacklisted += 1;
      else if (verdict !== Verdict.NOT_BLACKLISTED) counts.unknown += 1;
    }
    await rows.write(
      output.verdicts.map((verdict, index) => ({
        jti: input[index]?.jti as string,
        verdict: Verdict[verdict].toLowerCase(),
        revision: output.revision,
      })),
    );
    progress.add(input.length);
  }
  await rows.end();
  // If the command that should have supplied jtis failed, exit code 0 would say that all tokens may pass.
  if (failures.exitCode === undefined && counts.all === 0)
    throw new UsageError("standard input contains no jti");
  if (failures.exitCode === undefined && counts.all > 1) {
    session.noteOnTerminal(`${counts.blacklisted} of ${counts.all} blacklisted.`);
  }
  if (counts.unknown > 0) session.note(`The result of ${counts.unknown} is unknown: check again later.`);
  return exitCode(counts, failures.exitCode);
}

function exitCode(counts: { blacklisted: number; unknown: number }, failed?: number): number {
  // A known revocation takes precedence over checks that could not be answered.
  if (counts.blacklisted > 0 && (failed === undefined || failed === EXIT.unavailable)) return EXIT.found;
  return failed ?? (counts.unknown > 0 ? EXIT.unavailable : EXIT.ok);
}

function freshnessOf({ maxStaleness, atLeastRevision }: CheckOptions): Freshness {
  // The contract limits durations to ten thousand years, and a staleness above a few weeks makes no difference.
  const maxStalenessMs = maxStaleness === undefined ? undefined : clampedToTimer(maxStaleness);
  return { maxStalenessMs, atLeastRevision };
}
