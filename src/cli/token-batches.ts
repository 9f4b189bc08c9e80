import { MAX_BATCH } from "../limits.ts";
import type { Clock } from "../time/clock.ts";
import { orderedMap, type Settled } from "./ordered-map.ts";
import type { Session } from "./session.ts";
import { type InputToken, inputTokens } from "./token-input.ts";

/** Enough to hide the round trip; the service merges concurrent calls into one commit anyway. */
export const IN_FLIGHT = 4;
/** How long a partial batch waits for more lines, in milliseconds. */
const PAUSE_MS = 100;

/** The arguments of a command, or tokens that have been read already. */
export type NamedTokens = readonly string[] | readonly InputToken[];

/** Sends the tokens in batches, and yields each batch's result in the order of the input. */
export function tokenBatches<Answer>(
  { io }: Session,
  named: NamedTokens,
  send: (tokens: readonly InputToken[]) => Promise<Answer>,
): AsyncGenerator<Settled<readonly InputToken[], Answer>> {
  const tokens = areParsed(named) ? oneBatch(named) : inputTokens(named, io.stdin);
  return orderedMap(inBatches(tokens, io.clock), IN_FLIGHT, send);
}

/** The number of tokens, if known beforehand. */
export function totalOf(named: NamedTokens): number | undefined {
  return !areParsed(named) && named.includes("-") ? undefined : named.length;
}

function areParsed(named: NamedTokens): named is readonly InputToken[] {
  return typeof named[0] === "object";
}

async function* oneBatch(tokens: readonly InputToken[]): AsyncGenerator<readonly InputToken[]> {
  yield tokens;
}

/**
 * Regroups the items of `source` into batches of {@link MAX_BATCH}. A smaller batch is yielded if no more items arrive for
 * {@link PAUSE_MS}, so that a revocation does not wait for 999 others.
 */
export async function* inBatches<T>(source: AsyncIterable<readonly T[]>, clock: Clock): AsyncGenerator<T[]> {
  const pause = () => new Promise<boolean>((resolve) => void clock.schedule(PAUSE_MS, () => resolve(true)));
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
