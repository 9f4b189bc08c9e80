import {
  type BlacklistResponse,
  BlacklistResult_Outcome as Outcome,
} from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import type { EpochMs } from "../entry.ts";
import { EXIT } from "./exit-code.ts";
import { InputWarnings } from "./input-warnings.ts";
import type { RowOptions } from "./operator-command.ts";
import { retryQuota } from "./retry.ts";
import { type Column, rowWriter } from "./row-writer.ts";
import type { Session } from "./session.ts";
import { parseTimeArgument, type TimeArgument } from "./time-argument.ts";
import { BatchFailures, tokenBatches } from "./token-batches.ts";
import { type InputToken, inputTokens } from "./token-input.ts";
import { type TokenRow, timeWithDistance, tokenRow } from "./token-row.ts";
import { UsageError } from "./usage-error.ts";

export interface BlacklistOptions extends RowOptions {
  readonly expiresAt?: TimeArgument;
  readonly reason?: string;
}

/** Resolves to the exit code. Durations such as `1h` count from `now`, the same for all tokens. */
export async function blacklistTokens(
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
  if (stored !== 1) session.remark(summary(stored, counts));
  return EXIT.ok;
}

interface RequestDefaults {
  readonly options: BlacklistOptions;
  readonly now: EpochMs;
  readonly warnings: InputWarnings;
}

function requestFor(
  { jti, origin, expiresAt, reason }: InputToken,
  { options, now, warnings }: RequestDefaults,
) {
  const expiry = expiresAt === undefined ? options.expiresAt : parseExpiry(expiresAt, origin, now);
  if (expiry === undefined) {
    throw new UsageError(`${origin}: has no expiry: give one with --expires-at`);
  }
  warnings.checkExpiry(expiry, origin, now);
  return {
    token: { case: "jti", value: jti } as const,
    expiresAt: expiry,
    reason: reason ?? options.reason ?? "",
  };
}

function parseExpiry(text: string, origin: string, now: EpochMs): TimeArgument {
  try {
    return parseTimeArgument(text, { now, relative: "ahead" });
  } catch (error) {
    throw new UsageError(`${origin}: expires_at ${(error as Error).message}`);
  }
}

/** The advice after a failure. `changedNothing`: no failed call can have stored anything. */
export function howToContinue(stored: number, changedNothing: boolean): string {
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

export function blacklistColumns(now: EpochMs): Column<BlacklistRow>[] {
  return [
    { title: "jti", text: ({ jti }) => jti },
    { title: "outcome", text: ({ outcome }) => outcome.replaceAll("_", " ") },
    { title: "expires", text: ({ expires_at }) => timeWithDistance(expires_at, now) },
  ];
}

export function blacklistRows({ results, revision }: BlacklistResponse): BlacklistRow[] {
  return results.map(({ token, outcome }) => ({
    // The client has checked that it is present.
    ...tokenRow(token as NonNullable<typeof token>),
    outcome: Outcome[outcome].toLowerCase(),
    revision,
  }));
}
