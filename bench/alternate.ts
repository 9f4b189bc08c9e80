/**
 * Gives every contestant a slice in each of `rounds` rounds, and returns the results of each contestant's slices. If the machine
 * slows down, all contestants slow down; and the first contestant changes from round to round, so that none always follows the same
 * other one. The first `warmUp` rounds are not counted.
 */
export async function alternate<C, R>(
  contestants: readonly C[],
  { rounds, warmUp }: { rounds: number; warmUp: number },
  slice: (contestant: C) => Promise<R>,
): Promise<R[][]> {
  const results: R[][] = contestants.map(() => []);
  for (let round = -warmUp; round < rounds; round++) {
    for (let turn = 0; turn < contestants.length; turn++) {
      const index = (round + warmUp + turn) % contestants.length;
      const result = await slice(contestants[index] as C);
      if (round >= 0) results[index]?.push(result);
    }
  }
  return results;
}
