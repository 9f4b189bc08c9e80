import { BlacklistResult_Outcome as Outcome } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { ClientError } from "../client/client-error.ts";
import type { Violation } from "../errors.ts";
import { isRawToken } from "../raw-token.ts";
import { escapeLine } from "../text/terminal-text.ts";
import type { TokenItem } from "./import-items.ts";
import { type OutageRetry, retryQuota } from "./retry.ts";
import type { Session } from "./session.ts";
import type { TimeArgument } from "./time-argument.ts";

/** The number of all lines of an import, and how many of them had each outcome. */
export interface ImportCounts {
  readonly lines: number;
  readonly created: number;
  readonly already_blacklisted: number;
  readonly extended: number;
  /** Tokens that have expired by the service's clocks, leeway included. */
  readonly expired: number;
  /** Lines that are a {@link RefusedLine}. */
  readonly refused: number;
}

export const NO_COUNTS: ImportCounts = {
  lines: 0,
  created: 0,
  already_blacklisted: 0,
  extended: 0,
  expired: 0,
  refused: 0,
};

export const COUNT_NAMES = Object.keys(NO_COUNTS) as readonly (keyof ImportCounts)[];

export function sumOf(counts: ImportCounts, more: Partial<ImportCounts>): ImportCounts {
  const sums = COUNT_NAMES.map((name) => [name, counts[name] + (more[name] ?? 0)]);
  return Object.fromEntries(sums) as ImportCounts;
}

/** How many tokens of the import are certainly in the blacklist. */
export function storedCount({ created, already_blacklisted, extended }: ImportCounts): number {
  return created + already_blacklisted + extended;
}

/** A line that is invalid, or whose token the service refused for another reason than its expiry. */
export interface RefusedLine {
  readonly line: number;
  readonly problem: string;
}

/** The result of one batch. */
export interface ImportedBatch {
  readonly counts: Partial<ImportCounts>;
  readonly refused: readonly RefusedLine[];
}

interface Setup {
  readonly session: Session;
  readonly outageRetry: OutageRetry;
  /** The reason for lines without their own. */
  readonly reason: string;
}

/**
 * Sends batches to the service, which rejects a whole batch if any token in it is invalid or has expired. Such tokens are left
 * out, and the other tokens are sent again. Only the service decides what has expired, by its clocks and its leeway.
 */
export class BatchImporter {
  readonly #setup: Setup;
  /** The latest expiry that the service has rejected as passed, in milliseconds since 1970. Earlier expiries have passed too. */
  #expiredUpTo = Number.NEGATIVE_INFINITY;

  constructor(setup: Setup) {
    this.#setup = setup;
  }

  async importItems(items: readonly TokenItem[]): Promise<ImportedBatch> {
    // Latest expiry first: if the service rejects a token as expired, all tokens after it have expired too.
    let remaining = [...items].sort((a, b) => msOf(b.token.expiresAt) - msOf(a.token.expiresAt));
    const refused: RefusedLine[] = [];
    for (;;) {
      remaining = remaining.filter(({ token }) => msOf(token.expiresAt) > this.#expiredUpTo);
      const expired = items.length - refused.length - remaining.length;
      const leftOut = { expired, refused: refused.length };
      if (remaining.length === 0) return { counts: leftOut, refused };
      try {
        return { counts: { ...(await this.#send(remaining)), ...leftOut }, refused };
      } catch (error) {
        const newlyRefused = error instanceof ClientError ? this.#refusedIn(remaining, error.violations) : [];
        const canContinue =
          newlyRefused.length > 0 ||
          remaining.some(({ token }) => msOf(token.expiresAt) <= this.#expiredUpTo);
        if (!canContinue) throw error;
        refused.push(...newlyRefused);
        const lines = new Set(newlyRefused.map(({ line }) => line));
        remaining = remaining.filter(({ line }) => !lines.has(line));
      }
    }
  }

  async #send(items: readonly TokenItem[]): Promise<Partial<ImportCounts>> {
    const { session, outageRetry, reason } = this.#setup;
    const tokens = items.map(({ token }) => ({
      token: { case: "jti", value: token.jti } as const,
      expiresAt: token.expiresAt,
      reason: token.reason ?? reason,
    }));
    const allowRawTokensAsJtis = items.some(hasRawToken);
    const { results } = await outageRetry.run(() =>
      retryQuota(session.io, () =>
        session.client.blacklist({ tokens, allowRawTokensAsJtis }, session.callOptions),
      ),
    );
    const count = (wanted: Outcome) => results.filter(({ outcome }) => outcome === wanted).length;
    return {
      created: count(Outcome.CREATED),
      already_blacklisted: count(Outcome.ALREADY_BLACKLISTED),
      extended: count(Outcome.EXTENDED),
    };
  }

  /** The refused lines of the batch `sent`. Tokens that have expired are not among them: for these, #expiredUpTo is updated. */
  #refusedIn(sent: readonly TokenItem[], violations: readonly Violation[]): RefusedLine[] {
    const refused = new Map<number, string>();
    for (const { field, description, reason } of violations) {
      const [, index, name] = /^tokens\[(\d+)\]\.?(.*)$/.exec(field) ?? [];
      const item = sent[Number(index)];
      if (index === undefined || item === undefined) continue;
      if (reason === "EXPIRY_PASSED") {
        this.#expiredUpTo = Math.max(this.#expiredUpTo, msOf(item.token.expiresAt));
      } else refused.set(item.line, escapeLine(`"${name}" ${description}`));
    }
    return [...refused].map(([line, problem]) => ({ line, problem }));
  }
}

/** Entries made by an older version of the service, or by an import of such entries, may have raw tokens as jtis. */
export function hasRawToken({ token }: TokenItem): boolean {
  return isRawToken(token.jti);
}

function msOf({ seconds, nanos }: TimeArgument): number {
  return Number(seconds) * 1000 + nanos / 1_000_000;
}
