import { BlacklistResult_Outcome as Outcome } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { ClientError } from "../client/client-error.ts";
import type { Violation } from "../errors.ts";
import { isRawToken } from "../raw-token.ts";
import { escapeLine } from "../text/terminal-text.ts";
import type { ImportCounts } from "./import-checkpoint.ts";
import type { TokenItem } from "./import-items.ts";
import type { OutageRetry } from "./retry-outage.ts";
import { retryQuota } from "./retry-quota.ts";
import type { Session } from "./session.ts";
import type { TimeArgument } from "./time-argument.ts";

/** The result of one batch. */
export interface StoredBatch {
  readonly counts: Partial<ImportCounts>;
  readonly rejected: readonly { readonly line: number; readonly problem: string }[];
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
  /** The latest expiry that the service has rejected as passed, in milliseconds since 1970. Earlier expiries have passed too. */
  #expiredUpTo = Number.NEGATIVE_INFINITY;

  constructor(setup: BatchStoreSetup) {
    this.#setup = setup;
  }

  async store(items: readonly TokenItem[]): Promise<StoredBatch> {
    // Latest expiry first: if the service rejects a token as expired, all tokens after it have expired too.
    let remaining = [...items].sort((a, b) => msOf(b.token.expiresAt) - msOf(a.token.expiresAt));
    const rejected: { line: number; problem: string }[] = [];
    for (;;) {
      remaining = remaining.filter(({ token }) => msOf(token.expiresAt) > this.#expiredUpTo);
      const leftOut = {
        expired: items.length - rejected.length - remaining.length,
        refused: rejected.length,
      };
      if (remaining.length === 0) return { counts: leftOut, rejected };
      try {
        return { counts: { ...(await this.#send(remaining)), ...leftOut }, rejected };
      } catch (error) {
        const more = error instanceof ClientError ? this.#rejectedItems(error.violations, remaining) : [];
        const canContinue =
          more.length > 0 || remaining.some(({ token }) => msOf(token.expiresAt) <= this.#expiredUpTo);
        if (!canContinue) throw error;
        rejected.push(...more);
        const lines = new Set(more.map(({ line }) => line));
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
      const [, index, name] = /^tokens\[(\d+)\]\.?(.*)$/.exec(field) ?? [];
      const item = sent[Number(index)];
      if (index === undefined || item === undefined) continue;
      if (reason === "EXPIRY_PASSED") {
        this.#expiredUpTo = Math.max(this.#expiredUpTo, msOf(item.token.expiresAt));
      } else rejected.set(item.line, escapeLine(`"${name}" ${description}`));
    }
    return [...rejected].map(([line, problem]) => ({ line, problem }));
  }
}

/** Whether the jti is a raw token. Entries made by an older version of the service may have such jtis. */
export function isOfRawToken({ token }: TokenItem): boolean {
  return isRawToken(token.jti);
}

function msOf({ seconds, nanos }: TimeArgument): number {
  return Number(seconds) * 1000 + nanos / 1_000_000;
}
