import { randomBytes, randomInt } from "node:crypto";
import { setImmediate as turn } from "node:timers/promises";
import { NumberedJtis } from "../index/numbered-jtis.ts";
import { LIVE_TOKENS, liveJti } from "../tokens.ts";

/** A prime, so that probed entries are spread over the table, and none is repeated before all have occurred. */
const STRIDE = 736_873;

const MADE_A_TURN = 10_000;

/** The probes of one slice: `isHit[n]` is 1 if `jtis[n]` is on the blacklist. */
export interface Probes {
  readonly jtis: readonly string[];
  readonly isHit: Uint8Array;
}

/** Makes jtis to check, each a string that has not been looked up before, as if it had just arrived from the network. */
export class ProbeMaker {
  readonly #misses = [new NumberedJtis("uuid"), new NumberedJtis("opaque")] as const;
  #hit = randomInt(LIVE_TOKENS);
  #miss = randomInt(2 ** 31);

  /** Half of them are misses, in an order that a processor cannot predict; or all of them. */
  async make(count: number, { onlyMisses }: { onlyMisses: boolean }): Promise<Probes> {
    const coins = randomBytes(count);
    const isHit = Uint8Array.from(coins, (coin) => (onlyMisses ? 0 : coin & 1));
    const jtis: string[] = [];
    for (const [at, coin] of coins.entries()) {
      jtis.push(isHit[at] ? this.#makeHit() : this.#makeMiss(coin));
      // The client in this process has to receive messages from the service.
      if (at % MADE_A_TURN === 0) await turn();
    }
    return { jtis, isHit };
  }

  #makeHit(): string {
    this.#hit = (this.#hit + STRIDE) % LIVE_TOKENS;
    return Buffer.from(liveJti(this.#hit), "latin1").toString("latin1");
  }

  #makeMiss(coin: number): string {
    this.#miss = (this.#miss + 1) % 2 ** 32;
    return this.#misses[coin & 2 ? 1 : 0].text(this.#miss);
  }
}
