import { BlacklistResult_Outcome as Outcome } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { ClientError } from "../client/client-error.ts";
import type { Violation } from "../errors.ts";
import { isRawToken } from "../raw-token.ts";
import { escapeLine } from "../text/terminal-text.ts";
import type { ImportCounts } from "./import-counts.ts";
import type { TokenItem } from "./import-items.ts";
import type { OutageRetry } from "./retry-outage.ts";
import { retryQuota } from "./retry-quota.ts";
import type { Session } from "./session.ts";
import type { TimeArgument } from "./time-argument.ts";

/** The result of one batch. */
export interface StoredBatch {
  readonly counts: Partial<ImportCounts>;
  readonly refused: readonly { readonly line: number; readonly problem: string }[];
}

export interface BatchStoreSetup {
  readonly session: Session;
  readonly outageRetry: OutageRetry;
  /** For lines without a reason. */
  readonly reason: string;
}

/**
 * Sends batches to the service, which rejects a whole batch if one token in it has expired: such tokens are left out, and the rest
 * is sent again. Only the service decides what has expired, by its clocks and its leeway.
 */
export class BatchStore {
  readonly #setup: BatchStoreSetup;
  /** The latest expiry that the service has called expired, in milliseconds since 1970; earlier ones have expired too. */
  #expiredUpTo = Number.NEGATIVE_INFINITY;

  constructor(setup: BatchStoreSetup) {
    this.#setup = setup;
  }

  async store(items: readonly TokenItem[]): Promise<StoredBatch> {
    // The earliest expiry comes last, so that the first rejected token tells about all those behind it.
    let remaining = [...items].sort((a, b) => msOf(b.token.expiresAt) - msOf(a.token.expiresAt));
    const refused: { line: number; problem: string }[] = [];
    for (;;) {
      remaining = remaining.filter(({ token }) => msOf(token.expiresAt) > this.#expiredUpTo);
      const rest = { expired: items.length - refused.length - remaining.length, refused: refused.length };
      if (remaining.length === 0) return { counts: rest, refused };
      try {
        return { counts: { ...(await this.#send(remaining)), ...rest }, refused };
      } catch (error) {
        const rejected = error instanceof ClientError ? this.#rejectedItems(error.violations, remaining) : [];
        const canContinue =
          rejected.length > 0 || remaining.some(({ token }) => msOf(token.expiresAt) <= this.#expiredUpTo);
        if (!canContinue) throw error;
        refused.push(...rejected);
        const lines = new Set(rejected.map(({ line }) => line));
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
    const allowRawTokensAsJtis = items.some(isOfRawToken);
    const { results } = await outageRetry.run(() =>
      retryQuota(session.io, () => session.client.blacklist({ tokens, allowRawTokensAsJtis }, session.call)),
    );
    const count = (wanted: Outcome) => results.filter(({ outcome }) => outcome === wanted).length;
    return {
      created: count(Outcome.CREATED),
      already_blacklisted: count(Outcome.ALREADY_BLACKLISTED),
      extended: count(Outcome.EXTENDED),
    };
  }

  /** The tokens that are rejected for another reason than expiry. Records the expiry of those that have expired. */
  #rejectedItems(
    violations: readonly Violation[],
    sent: readonly TokenItem[],
  ): { line: number; problem: string }[] {
    const rejected = new Map<number, string>();
    for (const { field, description, reason } of violations) {
      const [, index, member] = /^tokens\[(\d+)\]\.?(.*)$/.exec(field) ?? [];
      const item = sent[Number(index)];
      if (index === undefined || item === undefined) continue;
      if (reason === "EXPIRY_PASSED") {
        this.#expiredUpTo = Math.max(this.#expiredUpTo, msOf(item.token.expiresAt));
      } else rejected.set(item.line, escapeLine(`"${member}" ${description}`));
    }
    return [...rejected].map(([line, problem]) => ({ line, problem }));
  }
}

/** Whether it is an entry of an older version, which accepted a raw token as a jti. */
export function isOfRawToken({ token }: TokenItem): boolean {
  return isRawToken(token.jti);
}

function msOf({ seconds, nanos }: TimeArgument): number {
  return Number(seconds) * 1000 + nanos / 1_000_000;
}
