import { MAX_BATCH } from "../limits.ts";
import type { Clock } from "../time/clock.ts";
import { certainlyChangedNothing } from "./explain-error.ts";
import { orderedMap, type Settled } from "./ordered-map.ts";
import type { Session } from "./session.ts";
import type { InputToken, InputTokens } from "./token-input.ts";
import { UsageError } from "./usage-error.ts";

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

/** Collects the failures of batches. Only the first is reported to the operator, because the others mostly repeat it. */
export class BatchFailures {
  readonly #session: Session;
  #exitCode: number | undefined;
  #changedNothing = true;

  constructor(session: Session) {
    this.#session = session;
  }

  /** The exit code of the first failure; undefined if there is none. */
  get exitCode(): number | undefined {
    return this.#exitCode;
  }

  /** Whether no failed batch can have changed anything. */
  get changedNothing(): boolean {
    return this.#changedNothing;
  }

  /** `input` is the failed batch; absent if reading the input failed. */
  add({ input, error }: { readonly input?: readonly InputToken[]; readonly error: unknown }): void {
    if (!(error instanceof UsageError || certainlyChangedNothing(error))) this.#changedNothing = false;
    this.#exitCode ??= this.#session.fail(
      error,
      input?.map(({ origin }) => origin),
    );
  }
}

/**
 * Regroups the items of `source` into batches of {@link MAX_BATCH}. A smaller batch is yielded if no more items arrive for
 * {@link MAX_BATCH_WAIT_MS}, so that a revocation does not wait for 999 others.
 */
export async function* inBatches<T>(source: AsyncIterable<readonly T[]>, clock: Clock): AsyncGenerator<T[]> {
  const pause = () =>
    new Promise<boolean>((resolve) => void clock.schedule(MAX_BATCH_WAIT_MS, () => resolve(true)));
  const iterator = source[Symbol.asyncIterator]();
  let waiting: T[] = [];
  for (;;) {
    const next = iterator.next();
    if (waiting.length > 0) {
      // The result of the read is handled below, including a failure that comes first.
      const paused = await Promise.race([pause(), next.then(notPaused, notPaused)]);
      if (paused) {
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

function notPaused(): boolean {
  return false;
}
