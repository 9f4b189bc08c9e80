import type { Instant, Operation } from "./history.ts";

/** Proves that the entry existed from some point on, until its end. */
export interface Proof {
  /** A time, or the number of a revision. */
  readonly since: number;
  readonly validUntil: Instant;
  readonly operation: Operation;
}

/** Finds, of all proofs valid at a point, the one that ends last. */
export class Proofs {
  readonly #since: number[] = [];
  readonly #longest: Proof[] = [];

  constructor(proofs: readonly Proof[]) {
    let longest: Proof | undefined;
    for (const proof of [...proofs].sort((a, b) => a.since - b.since)) {
      if (longest === undefined || proof.validUntil > longest.validUntil) longest = proof;
      this.#since.push(proof.since);
      this.#longest.push(longest);
    }
  }

  /** Of those with `since` below `point`. */
  before(point: number): Proof | undefined {
    let low = 0;
    let high = this.#since.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#since[middle] as number) < point) low = middle + 1;
      else high = middle;
    }
    return this.#longest[low - 1];
  }
}
