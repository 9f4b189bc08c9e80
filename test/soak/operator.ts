import { setTimeout as delay } from "node:timers/promises";
import { Verdict } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { ClientError } from "../../src/client/client-error.ts";
import type { Acknowledged, Ledger } from "../support/ledger.ts";
import type { SoakReplica } from "./soak-replica.ts";

const BATCH = 1000;
const PAUSE_MS = 100;
/** A token that expires this soon is not checked: it may expire before the response. */
const AHEAD_MS = 3000;
const CALL = { timeoutMs: 2000 };

export interface Audited {
  readonly tokens: number;
  /** Missing tokens, and errors that no fault explains. */
  readonly violations: string[];
}

/** Checks every token in the ledger at `replica`, fully fresh, until it has responded or `withinMs` is over. */
export async function auditChecks(
  replica: SoakReplica,
  ledger: Ledger,
  { withinMs }: { withinMs: number },
): Promise<Audited> {
  const violations: string[] = [];
  const alive = ledger.alive(AHEAD_MS + withinMs);
  for (let from = 0; from < alive.length; from += BATCH) {
    const batch = alive.slice(from, from + BATCH);
    const jtis = batch.map(({ jti }) => jti);
    const answer = await persist(() => verdictsOf(replica, jtis), withinMs);
    if (answer instanceof Error) {
      violations.push(`${replica.name} does not answer an audit: ${answer.message}`);
      break;
    }
    for (const [index, verdict] of answer.entries()) {
      const { jti } = batch[index] as Acknowledged;
      if (verdict !== Verdict.BLACKLISTED)
        violations.push(`${jti} was acknowledged, and ${replica.name} has lost it`);
    }
  }
  return { tokens: alive.length, violations };
}

async function verdictsOf({ client }: SoakReplica, jtis: readonly string[]): Promise<Verdict[]> {
  const { verdicts } = await client.isBlacklisted({ jtis: [...jtis] }, CALL);
  if (verdicts.includes(Verdict.UNKNOWN)) throw new ClientError("UNAVAILABLE", "it answers in part only");
  return verdicts;
}

/** Lists everything page by page, and finds every token in the ledger. */
export async function auditList(
  replica: SoakReplica,
  ledger: Ledger,
  { withinMs }: { withinMs: number },
): Promise<Audited> {
  const alive = ledger.alive(AHEAD_MS + withinMs);
  const missing = new Set(alive.map(({ jti }) => jti));
  let pageToken = "";
  do {
    const request = { pageSize: BATCH, pageToken };
    const page = await persist(() => replica.client.list(request, CALL), withinMs);
    if (page instanceof Error) {
      return { tokens: 0, violations: [`${replica.name} does not list: ${page.message}`] };
    }
    for (const { jti } of page.tokens) missing.delete(jti);
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  // Listing took so long that the missing tokens may have expired.
  const now = Date.now() + AHEAD_MS;
  const lost = alive.filter(({ jti, expiresAt }) => missing.has(jti) && expiresAt > now);
  return {
    tokens: alive.length,
    violations: lost.map(({ jti }) => `${jti} was acknowledged, and ${replica.name} does not list it`),
  };
}

/** Retries a call as long as its error may be temporary. */
async function persist<T>(call: () => Promise<T>, withinMs: number): Promise<T | Error> {
  const giveUpAt = performance.now() + withinMs;
  for (;;) {
    try {
      return await call();
    } catch (error) {
      const mayPass =
        error instanceof ClientError && ["UNAVAILABLE", "DEADLINE_EXCEEDED"].includes(error.code);
      if (!mayPass || performance.now() > giveUpAt) return error as Error;
    }
    await delay(PAUSE_MS);
  }
}

/** Prunes as an operator does. Returns the errors that no fault explains. */
export async function prune(replica: SoakReplica): Promise<string[]> {
  const answer = await persist(() => replica.client.prune({ maxCount: BATCH }, CALL), 0);
  const isFine =
    !(answer instanceof ClientError) || ["UNAVAILABLE", "DEADLINE_EXCEEDED"].includes(answer.code);
  return isFine ? [] : [`Prune failed: ${(answer as Error).message}`];
}
