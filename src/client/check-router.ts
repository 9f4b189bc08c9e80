import { MAX_BATCH, MAX_PENDING_CHECKS } from "../limits.ts";
import { type Clock, clampedToTimer } from "../time/clock.ts";
import type { CheckOptions, PeekOptions } from "./blacklist-client.ts";
import { type CheckBatcher, tooManyChecks } from "./check-batcher.ts";
import { cacheKeyOf, isTokenInput, type TokenInput, tokenError, tokensError } from "./checked-tokens.ts";
import { aborted, type ClientError, clientClosed, setAddress } from "./client-error.ts";
import type { Deadlines } from "./deadlines.ts";
import type { LocalCopy } from "./local-copy/local-copy.ts";
import { onAbort } from "./on-abort.ts";
import { checkOptionsError, invalidArgument } from "./option-problems.ts";
import {
  CheckGroup,
  type CheckHooks,
  type CheckSink,
  PendingCheck,
  type PendingCheckSetup,
} from "./pending-checks.ts";
import type { PositiveCache } from "./positive-cache.ts";
import type { AnswerSource, ClientMetrics } from "./telemetry.ts";
import type { UnavailablePolicy } from "./unavailable-policy.ts";

export interface CheckRouterSetup {
  readonly batcher: CheckBatcher;
  readonly deadlines: Deadlines;
  readonly positives: PositiveCache;
  readonly policy: UnavailablePolicy;
  readonly localCopy: LocalCopy | undefined;
  readonly metrics: ClientMetrics;
  readonly clock: Clock;
  /** The timeout of checks that set none. */
  readonly timeoutMs: number;
  /** The value of {@link CheckOptions.failFast} for checks that do not set it. */
  readonly failFast: boolean;
  /** The address that errors carry. */
  readonly address: string;
  /** The error of fail-fast checks during an outage; undefined if there is no outage. */
  readonly outageError: () => ClientError | undefined;
}

const DEFAULTS: CheckOptions = {};
/** The maximum of checks of one list that are in progress at once; a longer list is checked part by part. */
const LIST_PART = 4 * MAX_BATCH;
/** Preallocated promises for answers that need no request. */
const YES = Promise.resolve(true);
const NO = Promise.resolve(false);

/** Answers from remembered positives, else from the local copy once it is proven, else from the service. */
export class CheckRouter {
  readonly #setup: CheckRouterSetup;
  readonly #positives: PositiveCache;
  readonly #localCopy: LocalCopy | undefined;
  readonly #hooks: CheckHooks;
  /** The checks that wait for a proof of the copy, and that proof. */
  #proofWait: { readonly proof: Promise<void>; readonly group: CheckGroup } | undefined;
  /** Accepts no more checks; pending checks are still answered. */
  #isEnding = false;
  /** Calls of `areBlacklisted` in progress. */
  readonly #pendingLists = new Set<Promise<boolean[]>>();
  #isClosed = false;

  constructor(setup: CheckRouterSetup) {
    this.#setup = setup;
    this.#positives = setup.positives;
    this.#localCopy = setup.localCopy;
    this.#hooks = {
      failFast: setup.failFast,
      onAnswer: (check, isBlacklisted, source) => {
        if (isBlacklisted) this.#positives.add(cacheKeyOf(check.token), check.expiresAt);
        this.#count(isBlacklisted, source);
      },
      onFailure: ({ token }, error) => {
        setAddress(error, setup.address);
        const replacement = setup.policy.decide(error, () => this.#isKnownBlacklisted(token));
        if (replacement !== undefined) this.#count(replacement, "policy");
        return replacement;
      },
    };
  }

  isBlacklisted(token: TokenInput, options: CheckOptions = DEFAULTS): Promise<boolean> {
    const problem = tokenError(token) ?? (options === DEFAULTS ? undefined : checkOptionsError(options));
    if (problem !== undefined) return Promise.reject(problem);
    if (this.#isEnding) return Promise.reject(clientClosed());
    const known = this.#answerLocally(token, options);
    if (known !== undefined) return known ? YES : NO;
    const deadline = this.#deadline(options);
    return new Promise((resolve, reject) => {
      const sink: CheckSink = { answered: (_, answer) => resolve(answer), failed: reject };
      this.#startCheck({ token, options, deadline, sink, index: 0 });
    });
  }

  async areBlacklisted(tokens: readonly TokenInput[], options: CheckOptions = DEFAULTS): Promise<boolean[]> {
    if (!Array.isArray(tokens)) throw invalidArgument("jtis", "must be an array");
    const problem = tokensError(tokens) ?? checkOptionsError(options);
    if (problem !== undefined) throw problem;
    if (this.#isEnding) throw clientClosed();
    const answers = this.#answerList(tokens, options);
    this.#pendingLists.add(answers);
    try {
      return await answers;
    } finally {
      this.#pendingLists.delete(answers);
    }
  }

  async #answerList(tokens: readonly TokenInput[], options: CheckOptions): Promise<boolean[]> {
    const deadline = this.#deadline(options);
    // One listener on the signal serves all checks of the list.
    const { signal, ...unsignalled } = options;
    const answers: boolean[] = [];
    // Only one part of a list is pending at a time.
    for (let start = 0; start < tokens.length; start += LIST_PART) {
      if (signal?.aborted) throw aborted("check");
      const part = tokens.slice(start, start + LIST_PART);
      const checks: PendingCheck[] = [];
      const partAnswers = collectAnswers(part.length, (sink) => {
        for (const [index, token] of part.entries()) {
          const known = this.#isClosed ? undefined : this.#answerLocally(token, options);
          if (known !== undefined) {
            sink.answered(index, known);
            continue;
          }
          const check = this.#startCheck({ token, options: unsignalled, deadline, sink, index });
          if (check !== undefined) checks.push(check);
        }
      });
      answers.push(...(await untilAborted(partAnswers, checks, signal)));
    }
    return answers;
  }

  peek(token: TokenInput, options: PeekOptions | null = DEFAULTS): boolean | undefined {
    // Callers without a type checker may pass null. Without `maxStalenessMs` the copy gives only positives.
    if (this.#isEnding || !isTokenInput(token)) return undefined;
    if (this.#positives.has(cacheKeyOf(token))) return true;
    return this.#localCopy?.peek(token, options?.maxStalenessMs || undefined);
  }

  /** Remembers a token that `blacklist` has just revoked. */
  remember(token: TokenInput, expiresAt: number): void {
    this.#positives.add(cacheKeyOf(token), expiresAt);
  }

  /** Accepts no more checks. Resolves once pending checks are settled. */
  async end(): Promise<void> {
    this.#isEnding = true;
    await Promise.allSettled(this.#pendingLists);
    await this.#setup.deadlines.idle();
  }

  close(): void {
    this.#isEnding = true;
    this.#isClosed = true;
    this.#setup.batcher.close();
    const error = clientClosed();
    for (const group of this.#setup.deadlines.groups()) group.close(error);
  }

  /**
   * The answer without a request; undefined if a request is needed. The copy gives a negative only if it reflects `atLeastRevision`, or was
   * proven within `maxStalenessMs`. Without these, or for 0, it gives none: even the latest proof is from before the check.
   */
  #answerLocally(token: TokenInput, { maxStalenessMs, atLeastRevision }: CheckOptions): boolean | undefined {
    if (this.#positives.has(cacheKeyOf(token))) {
      this.#count(true, "remembered");
      return true;
    }
    const localCopy = this.#localCopy;
    if (localCopy === undefined) return undefined;
    const seen =
      atLeastRevision !== undefined && localCopy.isComplete && localCopy.reflects(atLeastRevision)
        ? localCopy.isBlacklisted(token)
        : localCopy.peek(token, maxStalenessMs || undefined);
    if (seen !== undefined) this.#count(seen, "copy");
    return seen;
  }

  /** Sends a check to the copy or the service, and returns it; undefined if the client is closed or the signal already aborted. */
  #startCheck(setup: PendingCheckSetup): PendingCheck | undefined {
    const { options, sink } = setup;
    if (this.#isClosed || options.signal?.aborted) {
      sink.failed(this.#isClosed ? clientClosed() : aborted("check"));
      return undefined;
    }
    const check = new PendingCheck(this.#hooks, setup);
    const localCopy = this.#localCopy;
    if (localCopy?.isComplete && options.atLeastRevision === undefined) this.#awaitProof(check, localCopy);
    else this.#setup.batcher.ask(check);
    return check;
  }

  /** Adds the check to the group that waits for the next shared proof. If the proof fails, the checks are sent to the service. */
  #awaitProof(check: PendingCheck, localCopy: LocalCopy): void {
    const outageError = check.failFast ? this.#setup.outageError() : undefined;
    if (outageError !== undefined) {
      check.fail(outageError);
      return;
    }
    const proof = localCopy.prove();
    if (this.#proofWait?.proof !== proof)
      this.#proofWait = { proof, group: this.#proofGroup(proof, localCopy) };
    const { group } = this.#proofWait;
    if (group.length >= MAX_PENDING_CHECKS) {
      check.fail(tooManyChecks());
      return;
    }
    group.add(check);
    this.#setup.deadlines.watch(group);
  }

  #proofGroup(proof: Promise<void>, localCopy: LocalCopy): CheckGroup {
    const group = new CheckGroup();
    // Removing abandoned checks one by one would be slow in a large group, and the group is dropped as soon as the proof ends.
    group.keepsAbandoned = true;
    // A check joins the group only after its token was not found in the copy. So it need not be looked up again if the copy is still at this
    // version.
    const { version } = localCopy;
    const { batcher, deadlines } = this.#setup;
    const leave = () => {
      deadlines.forget(group);
      if (this.#proofWait?.group === group) this.#proofWait = undefined;
    };
    const askService = () => {
      leave();
      for (const check of group.checks) if (!check.isSettled) batcher.ask(check);
    };
    proof.then(() => {
      // If the copy was dropped after the proof and before this continuation, an absent entry proves nothing.
      if (!localCopy.isComplete) return askService();
      leave();
      const isUnchanged = localCopy.version === version;
      for (const check of group.checks) {
        if (!check.isSettled) check.answer(!isUnchanged && localCopy.isBlacklisted(check.token), "copy");
      }
    }, askService);
    return group;
  }

  #isKnownBlacklisted(token: TokenInput): boolean {
    return this.#positives.has(cacheKeyOf(token)) || this.#localCopy?.peek(token) === true;
  }

  #deadline({ timeoutMs }: CheckOptions): number {
    return this.#setup.clock.monotonic() + clampedToTimer(timeoutMs ?? this.#setup.timeoutMs);
  }

  #count(answer: boolean, source: AnswerSource): void {
    this.#setup.metrics.checked?.({ answer, source, count: 1 });
  }
}

/** Resolves to the answers of `count` checks, which `start` begins. Rejects with the first error. */
function collectAnswers(count: number, start: (sink: CheckSink) => void): Promise<boolean[]> {
  return new Promise((resolve, reject) => {
    // Fails closed: an answer that was never set reads as blacklisted.
    const answers = new Array<boolean>(count).fill(true);
    let missing = count;
    start({
      answered(index, isBlacklisted) {
        answers[index] = isBlacklisted;
        missing--;
        if (missing === 0) resolve(answers);
      },
      failed: reject,
    });
  });
}

/** Resolves to `answers`. If `signal` is aborted first, abandons all `checks`, which makes `answers` reject. */
async function untilAborted<T>(
  answers: Promise<T>,
  checks: readonly PendingCheck[],
  signal: AbortSignal | undefined,
): Promise<T> {
  const unlisten = onAbort(signal, () => {
    for (const check of checks) check.abandon();
  });
  try {
    return await answers;
  } finally {
    unlisten();
  }
}
