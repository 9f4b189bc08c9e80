/**
 * Regroups the items of `source` into batches of `size`. A smaller batch is yielded if `pause` resolves before more items arrive,
 * so that a revocation does not wait for 999 others.
 */
export async function* inBatches<T>(
  source: AsyncIterable<readonly T[]>,
  { size, pause }: { size: number; pause: () => Promise<void> },
): AsyncGenerator<T[]> {
  const iterator = source[Symbol.asyncIterator]();
  let waiting: T[] = [];
  for (;;) {
    const next = iterator.next();
    if (waiting.length > 0) {
      // The result of the read is handled below, including a failure that comes first.
      const paused = await Promise.race([pause().then(() => true), next.then(arrived, arrived)]);
      if (paused) {
        yield waiting;
        waiting = [];
      }
    }
    const { done, value } = await next;
    if (done) break;
    let start = 0;
    const all = waiting.length === 0 ? value : [...waiting, ...value];
    for (; all.length - start >= size; start += size) yield all.slice(start, start + size);
    waiting = all.slice(start);
  }
  if (waiting.length > 0) yield waiting;
}

function arrived(): boolean {
  return false;
}
