import { setTimeout as delay } from "node:timers/promises";
import type { BlacklistClient, CheckOptions } from "../../src/client/blacklist-client.ts";
import { ClientError } from "../../src/client/client-error.ts";
import type { Choices } from "../histories/choices.ts";
import type { Acknowledged, Ledger } from "./ledger.ts";

export interface ClientLoadSetup {
  readonly client: BlacklistClient;
  /** The prefix of every jti of this load, unique among loads. */
  readonly name: string;
  readonly choices: Choices;
  /** The acknowledged revocations of all loads: `onAcknowledged` adds those of this load. */
  readonly ledger: Ledger;
  readonly pace: Pace;
  readonly onAcknowledged: (batch: AcknowledgedBatch) => void;
}

export interface Pace {
  /** The number of concurrent check loops, and the mean pause between their checks. */
  readonly checkers: number;
  readonly checkPauseMs: number;
  readonly revokers: number;
  readonly revokePauseMs: number;
  /** Minimum and maximum lifetime of revoked tokens. */
  readonly lifetimeMs: readonly [number, number];
}

export interface AcknowledgedBatch {
  readonly tokens: readonly { jti: string; expiresAt: number }[];
  readonly revision: string;
}

/** The counts of a load since the last report. */
export interface Tally {
  checks: number;
  revoked: number;
  /** Failed calls that may be retried, by the second of their failure. */
  failed: { at: number; code: string }[];
  /** Wrong answers, and errors that no fault explains. */
  violations: string[];
}

const STALENESS_MS = 5000;
/** How close to its expiry a token may be for an answer to be verified; the leeway is added. */
const MARGIN_MS = 500;
const MAX_TOKENS = 20;
const MAX_QUESTIONS = 30;
const RETRYABLE = ["UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"];

/** Acts as a gateway and an auth service: revokes and checks, and verifies every answer against the ledger. */
export class ClientLoad {
  readonly #setup: ClientLoadSetup;
  #tally = emptyTally();
  #stopped = false;
  #running: Promise<unknown> = Promise.resolve();

  constructor(setup: ClientLoadSetup) {
    this.#setup = setup;
  }

  start(): void {
    const { pace, choices } = this.#setup;
    const loops = [
      ...Array.from({ length: pace.revokers }, (_, index) =>
        this.#revoke(index, choices.for(`revoke ${index}`)),
      ),
      ...Array.from({ length: pace.checkers }, (_, index) => this.#check(choices.for(`check ${index}`))),
    ];
    this.#running = Promise.all(loops);
  }

  /** The counts since the last call. */
  take(): Tally {
    const taken = this.#tally;
    this.#tally = emptyTally();
    return taken;
  }

  /** Resolves when the last call has ended. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }

  async #revoke(place: number, choices: Choices): Promise<void> {
    const { client, name, pace } = this.#setup;
    for (let round = 0; !this.#stopped; round++) {
      const [shortest, longest] = pace.lifetimeMs;
      const tokens = Array.from({ length: choices.whole(1, MAX_TOKENS) }, (_, index) => ({
        jti: `${name}/${place}/${round}/${index}`,
        expiresAt: Math.ceil(Date.now() + choices.between(shortest, longest)),
      }));
      try {
        const { revision } = await client.blacklist(tokens);
        this.#tally.revoked += tokens.length;
        this.#setup.onAcknowledged({ tokens, revision });
      } catch (error) {
        this.#failed("blacklist", error);
      }
      await delay(pace.revokePauseMs * choices.between(0.5, 1.5));
    }
  }

  async #check(choices: Choices): Promise<void> {
    const { client, ledger, name, pace } = this.#setup;
    for (let round = 0; !this.#stopped; round++) {
      const known = Array.from({ length: choices.whole(0, MAX_QUESTIONS / 2) }, () =>
        ledger.pick(choices),
      ).filter((token) => token !== undefined);
      const others = Array.from(
        { length: choices.whole(1, MAX_QUESTIONS / 2) },
        (_, index) => `never/${name}/${round}/${index}`,
      );
      const options = freshness(choices, known[0]);
      const asked = performance.now();
      try {
        const answers = await client.areBlacklisted([...known.map(({ jti }) => jti), ...others], options);
        this.#judge({ known, others, options, asked, answers });
      } catch (error) {
        this.#failed(`check (${JSON.stringify(options)})`, error);
      }
      await delay(pace.checkPauseMs * choices.between(0.5, 1.5));
    }
  }

  #judge({
    known,
    others,
    options,
    asked,
    answers,
  }: {
    known: readonly Acknowledged[];
    others: readonly string[];
    options: CheckOptions;
    asked: number;
    answers: readonly boolean[];
  }): void {
    const ended = Date.now() + MARGIN_MS;
    this.#tally.checks += answers.length;
    for (const [index, token] of known.entries()) {
      if (answers[index] === true || token.expiresAt < ended) continue;
      // A revision says nothing about later commits, and a staleness nothing about the latest ones.
      if (options.atLeastRevision !== undefined && index > 0) continue;
      if (options.maxStalenessMs !== undefined && asked - token.since <= options.maxStalenessMs) continue;
      this.#wrong(
        `${token.jti} was acknowledged, and is said not to be blacklisted (${JSON.stringify(options)})`,
      );
    }
    for (const [index, jti] of others.entries()) {
      if (answers[known.length + index] !== false) this.#wrong(`${jti} was never revoked, and is said to be`);
    }
  }

  #failed(what: string, error: unknown): void {
    const code = error instanceof ClientError ? error.code : undefined;
    if (code !== undefined && RETRYABLE.includes(code)) this.#tally.failed.push({ at: Date.now(), code });
    else this.#wrong(`${what}: ${code} ${error instanceof Error ? error.message : error}`);
  }

  #wrong(text: string): void {
    this.#tally.violations.push(text);
  }
}

function freshness(choices: Choices, first: Acknowledged | undefined): CheckOptions {
  const which = choices.number();
  if (which < 0.3) return { maxStalenessMs: STALENESS_MS };
  if (which < 0.5 && first !== undefined) return { atLeastRevision: first.revision };
  return {};
}

export function emptyTally(): Tally {
  return { checks: 0, revoked: 0, failed: [], violations: [] };
}

export function addTally(total: Tally, { checks, revoked, failed, violations }: Tally): void {
  total.checks += checks;
  total.revoked += revoked;
  total.failed.push(...failed);
  total.violations.push(...violations);
}
