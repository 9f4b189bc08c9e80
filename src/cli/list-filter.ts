import type { Command } from "commander";
import type { EpochMs } from "../entry.ts";
import { MAX_REVOKED_BY_BYTES } from "../limits.ts";
import { isRawToken } from "../raw-token.ts";
import { UsageError } from "./errors.ts";
import { InputWarnings } from "./input-warnings.ts";
import { textUpTo, timeArgument } from "./option-parsers.ts";
import type { Session } from "./session.ts";
import type { TimeArgument } from "./time-argument.ts";

/** The filters as options of the command. */
export interface ListFilterOptions {
  readonly includeExpired?: boolean;
  readonly createdAfter?: TimeArgument;
  readonly createdBefore?: TimeArgument;
  readonly revokedBy?: string;
  readonly jti?: readonly string[];
}

/** The filters as fields of a `List` request. */
export interface ListFilter {
  readonly includeExpired: boolean;
  readonly revokedBy: string;
  readonly jtis: string[];
  readonly createdAfter?: TimeArgument;
  readonly createdBefore?: TimeArgument;
}

export function addListFilter(command: Command, now: EpochMs): Command {
  const ago = timeArgument({ now, durationsAre: "ago" });
  return command
    .option("--include-expired", "include expired entries that have not been pruned")
    .option("--created-after <when>", "only tokens revoked at or after this time", ago)
    .option("--created-before <when>", "only tokens revoked before this time", ago)
    .option(
      "--revoked-by <caller>",
      "only tokens revoked by exactly this caller",
      textUpTo(MAX_REVOKED_BY_BYTES),
    )
    .option(
      "--jti <jti>",
      "only this token; may be given several times",
      (jti: string, others: string[] = []) => [...others, jti],
    );
}

export function listFilter({
  includeExpired = false,
  createdAfter,
  createdBefore,
  revokedBy = "",
  jti,
}: ListFilterOptions): ListFilter {
  if (createdAfter && createdBefore && nanosOf(createdAfter) >= nanosOf(createdBefore)) {
    throw new UsageError("no entry can match: --created-after is not before --created-before");
  }
  return {
    includeExpired,
    revokedBy,
    jtis: [...(jti ?? [])],
    ...(createdAfter && { createdAfter }),
    ...(createdBefore && { createdBefore }),
  };
}

/** Warns of requested jtis that look like a mistake. Raw tokens are left to the service, which rejects them. */
export function warnOfLikelyMistakes({ jti = [] }: ListFilterOptions, session: Session): void {
  new InputWarnings((line) => session.note(line)).checkJtis(
    jti.filter((text) => !isRawToken(text)).map((text) => ({ jti: text, origin: `"${text}"` })),
  );
}

/** The end of a message that says that a filter matches nothing: the reason if known, and a full stop. */
export function reasonForNone({ createdAfter }: Pick<ListFilter, "createdAfter">, now: EpochMs): string {
  const isAhead = createdAfter !== undefined && nanosOf(createdAfter) > BigInt(now) * 1_000_000n;
  return isAhead ? ": --created-after is in the future." : ".";
}

/** Nanoseconds since 1970. */
function nanosOf({ seconds, nanos }: TimeArgument): bigint {
  return seconds * 1_000_000_000n + BigInt(nanos);
}
