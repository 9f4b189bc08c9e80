const given = process.env.TEST_SEED;

/** The seed of the run: printed at its start, repeated with TEST_SEED. */
export const seed = given === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(given);

/** Creates a generator of numbers in [0, 1) that depends only on the seed and the name, not on the order of specs. */
export function randomFor(name: string): () => number {
  let state = seed;
  for (const char of name) state = Math.imul(state ^ char.charCodeAt(0), 0x01000193);
  // mulberry32: 32 bits of state are enough for a test's choices.
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
