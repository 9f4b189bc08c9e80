import { ANSWERS_A_TURN_MICROS } from "../limits.ts";

/**
 * Does `work` for each item, in order, but not more than a few milliseconds' worth in one turn of the event loop: whoever
 * comes with a small question must not wait for a thousand large answers.
 */
export function inTurns<T extends { readonly cost: number }>(
  items: readonly T[],
  work: (item: T) => void,
): void {
  let next = 0;
  function go(): void {
    for (let spent = 0; next < items.length && spent < ANSWERS_A_TURN_MICROS; next++) {
      const item = items[next] as T;
      spent += item.cost;
      work(item);
    }
    if (next < items.length) setImmediate(go);
  }
  go();
}
