import { MAX_BATCH } from "../limits.ts";
import type { BatchStore } from "./batch-store.ts";
import type { ImportProgress } from "./import-checkpoint.ts";
import type { ImportItem, InputDigest } from "./import-items.ts";
import { UsageError } from "./usage-error.ts";

export interface Remaining {
  readonly done: ImportProgress;
  /** Receives the skipped lines; the others are added when they are sent. */
  readonly digest: InputDigest;
  readonly store: BatchStore;
}

/**
 * The items after those that are `done`. Throws if the input has changed since, or if the service does not have the entries that
 * were stored last: it is another service, or its database was restored.
 */
export async function* remainingItems(
  source: AsyncIterable<ImportItem[]>,
  { done, digest, store }: Remaining,
): AsyncGenerator<ImportItem[]> {
  let isPast = done.line === 0;
  let last: ImportItem[] = [];
  for await (const items of source) {
    if (isPast) {
      yield items;
      continue;
    }
    const over = items.filter(({ line }) => line <= done.line);
    digest.add(over);
    last = [...last, ...over].slice(-MAX_BATCH);
    if (last.at(-1)?.line !== done.line) continue;
    isPast = true;
    if (digest.value !== done.digest) throw changed(done);
    await expectStored(store, last, done);
    if (over.length < items.length) yield items.slice(over.length);
  }
  if (!isPast) throw changed(done);
}

/** Sending the entries again proves that they are stored, and needs no permission beyond that of importing. */
async function expectStored(
  store: BatchStore,
  items: readonly ImportItem[],
  { line }: ImportProgress,
): Promise<void> {
  const { counts } = await store.store(items.filter((item) => "token" in item));
  if ((counts.created ?? 0) === 0) return;
  throw new Error(
    `the service lacks entries that were stored up to line ${line}: it is another service, or its database was restored; start over without --resume`,
  );
}

function changed({ line }: ImportProgress): UsageError {
  return new UsageError(
    `the input is not that of the interrupted import: its first ${line} lines differ; start over without --resume, which is safe`,
  );
}
