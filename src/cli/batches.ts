/**
 * Regroups what `source` brings into batches of `size`. A smaller one goes out when `pause` resolves before more has
 * come, so that a revocation does not wait for 999 others.
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
      // What the read comes to is looked at below, also when it fails first.
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
