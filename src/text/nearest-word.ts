/** The word of `known` with the smallest edit distance to `name`, and that distance. */
export function nearestOf(
  name: string,
  known: Iterable<string>,
): [nearest: string | undefined, distance: number] {
  let nearest: string | undefined;
  let least = Number.POSITIVE_INFINITY;
  for (const word of known) {
    const distance = editDistance(name, word);
    if (distance < least) [nearest, least] = [word, distance];
  }
  return [nearest, least];
}

/** The word of `known` that `name` probably misspells; undefined if none is close. */
export function likelyName(name: string, known: readonly string[]): string | undefined {
  const lower = new Map(known.map((word) => [word.toLowerCase(), word]));
  const [nearest = "", mistakes] = nearestOf(name.toLowerCase(), lower.keys());
  // With more mistakes, another word was probably meant.
  return mistakes <= Math.max(1, name.length / 3) ? lower.get(nearest) : undefined;
}

/** The number of letters to insert, delete, change, or swap with a neighbour (optimal string alignment). */
function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const next = [row];
    for (let column = 1; column <= b.length; column++) {
      const isSame = a[row - 1] === b[column - 1];
      const isSwapped = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1];
      next[column] = Math.min(
        (last[column] as number) + 1,
        (next[column - 1] as number) + 1,
        (last[column - 1] as number) + (isSame ? 0 : 1),
        isSwapped ? (before[column - 2] as number) + 1 : Number.POSITIVE_INFINITY,
      );
    }
    [before, last] = [last, next];
  }
  return last[b.length] as number;
}
