import type { MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { type IsBlacklistedRequestSchema, Verdict } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { clampedToTimer } from "../time/clock.ts";
import { EXIT } from "./exit-code.ts";
import { InputWarnings } from "./input-warnings.ts";
import type { RowOptions } from "./operator-command.ts";
import { type Column, rowWriter } from "./row-writer.ts";
import type { Session } from "./session.ts";
import { BatchFailures, tokenBatches } from "./token-batches.ts";
import type { InputTokens } from "./token-input.ts";
import { UsageError } from "./usage-error.ts";

export interface CheckOptions extends RowOptions {
  /** Milliseconds. */
  readonly maxStaleness?: number;
  readonly atLeastRevision?: string;
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
export async function checkTokens(
  session: Session,
  options: CheckOptions,
  tokens: InputTokens,
): Promise<number> {
  const { client, callOptions } = session;
  const rows = rowWriter({ session, format: options.output, columns: COLUMNS });
  const progress = session.progress("checked", { total: tokens.total, printsRows: true });
  const failures = new BatchFailures(session);
  const freshness = freshnessOf(options);
  const counts = { all: 0, blacklisted: 0, unknown: 0 };
  const warnings = new InputWarnings((line) => session.note(line));
  const batches = tokenBatches(session, tokens, (batch) => {
    warnings.checkJtis(batch);
    return client.isBlacklisted({ jtis: batch.map(({ jti }) => jti), freshness }, callOptions);
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
    session.remark(`${counts.blacklisted} of ${counts.all} blacklisted.`);
  }
  if (counts.unknown > 0) session.note(`The result of ${counts.unknown} is unknown: check again later.`);
  return exitCode(counts, failures.exitCode);
}

function exitCode(
  { blacklisted, unknown }: { blacklisted: number; unknown: number },
  failed?: number,
): number {
  // A known revocation takes precedence over checks that could not be answered.
  if (blacklisted > 0 && (failed === undefined || failed === EXIT.unavailable)) return EXIT.found;
  return failed ?? (unknown > 0 ? EXIT.unavailable : EXIT.ok);
}

type Freshness = NonNullable<MessageInitShape<typeof IsBlacklistedRequestSchema>["freshness"]>;

function freshnessOf({ maxStaleness, atLeastRevision }: CheckOptions): Freshness {
  if (atLeastRevision !== undefined) return { case: "atLeastRevision", value: atLeastRevision };
  // The contract limits durations to ten thousand years, and a staleness above a few weeks makes no difference.
  if (maxStaleness !== undefined)
    return { case: "maxStaleness", value: durationFromMs(clampedToTimer(maxStaleness)) };
  return { case: undefined };
}
