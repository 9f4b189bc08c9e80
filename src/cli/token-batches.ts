import { MAX_BATCH } from "../limits.ts";
import type { Clock } from "../time/clock.ts";
import { certainlyChangedNothing, UsageError } from "./errors.ts";
import type { Session } from "./session.ts";
import type { InputToken, InputTokens } from "./token-input.ts";

/** Enough to hide the round trip; the service merges concurrent calls into one commit anyway. */
export const MAX_BATCHES_IN_FLIGHT = 4;
/** How long a batch that is not full waits for more tokens. */
const MAX_BATCH_WAIT_MS = 100;

/** Sends the tokens in batches, and yields each batch's result in the order of the input. */
export function tokenBatches<Response>(
  { io }: Session,
  { groups }: InputTokens,
  send: (tokens: readonly InputToken[]) => Promise<Response>,
): AsyncGenerator<Settled<readonly InputToken[], Response>> {
  return orderedMap(inBatches(groups, io.clock), MAX_BATCHES_IN_FLIGHT, send);
}

/** Collects the failures of batches. Only the first failure is reported to the operator, because further failures mostly repeat it. */
export class BatchFailures {
  readonly #session: Session;
  /** The exit code of the first failure; undefined if there is none. */
  exitCode: number | undefined;
  /** Whether no failed batch can have changed anything. */
  changedNothing = true;

  constructor(session: Session) {
    this.#session = session;
  }

  /** `input` is the failed batch; absent if reading the input failed. */
  add({ input, error }: { readonly input?: readonly InputToken[]; readonly error: unknown }): void {
    if (!(error instanceof UsageError || certainlyChangedNothing(error))) this.changedNothing = false;
    const origins = input?.map(({ origin }) => origin);
    this.exitCode ??= this.#session.report(error, origins);
  }
}

/**
 * Regroups the items of `source` into batches of {@link MAX_BATCH}. A smaller batch is yielded if no more items arrive for
 * {@link MAX_BATCH_WAIT_MS}, so that a revocation does not wait for 999 others.
 */
export async function* inBatches<T>(source: AsyncIterable<readonly T[]>, clock: Clock): AsyncGenerator<T[]> {
  const pause = () => new Promise<void>((resolve) => void clock.schedule(MAX_BATCH_WAIT_MS, resolve));
  const iterator = source[Symbol.asyncIterator]();
  let waiting: T[] = [];
  for (;;) {
    const next = iterator.next();
    if (waiting.length > 0) {
      // The pause resolves to undefined. The result of the read is handled below, including a failure.
      if ((await Promise.race([Promise.allSettled([next]), pause()])) === undefined) {
        yield waiting;
        waiting = [];
      }
    }
    const { done, value } = await next;
    if (done) break;
    let start = 0;
    const all = waiting.length === 0 ? value : [...waiting, ...value];
    for (; all.length - start >= MAX_BATCH; start += MAX_BATCH) {
      yield all.slice(start, start + MAX_BATCH);
    }
    waiting = all.slice(start);
  }
  if (waiting.length > 0) yield waiting;
}

/** The result for one input. An `error` without an input is the error of reading the inputs. */
export type Settled<In, Out> =
  | { readonly input: In; readonly output: Out }
  | { readonly input?: In; readonly error: unknown };

/**
 * Runs `work` on each input, up to `limit` at once, and yields results in the order of the inputs. After the first failure no
 * further work is started; work in flight is still awaited and yielded, because it takes effect.
 */
export async function* orderedMap<In, Out>(
  inputs: AsyncIterable<In>,
  limit: number,
  work: (input: In) => Promise<Out>,
): AsyncGenerator<Settled<In, Out>> {
  const iterator = inputs[Symbol.asyncIterator]();
  /** The work in flight, in the order of the inputs. */
  const running: Promise<Settled<In, Out>>[] = [];
  /** Resolves once the next input has been read. */
  let reading: Promise<undefined> | undefined;
  // The assertions keep the compiler from assuming that the functions below never assign these.
  let wantsInput = true as boolean;
  let readFailure = undefined as Settled<In, Out> | undefined;

  async function run(input: In): Promise<Settled<In, Out>> {
    try {
      return { input, output: await work(input) };
    } catch (error) {
      wantsInput = false;
      return { input, error };
    }
  }

  async function read(): Promise<undefined> {
    try {
      const { done, value } = await iterator.next();
      if (done) wantsInput = false;
      else if (wantsInput) running.push(run(value));
    } catch (error) {
      if (wantsInput) readFailure = { error };
      wantsInput = false;
    }
    reading = undefined;
  }

  for (;;) {
    if (wantsInput && running.length < limit) reading ??= read();
    // Once no further input is wanted, a read in progress is not awaited: it may wait for an operator's next line.
    const events = [running[0], wantsInput ? reading : undefined].filter((promise) => promise !== undefined);
    if (events.length === 0) break;
    const settled = await Promise.race(events);
    if (settled === undefined) continue;
    void running.shift();
    yield settled;
  }
  if (readFailure !== undefined) yield readFailure;
}
