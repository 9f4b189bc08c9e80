import { setTimeout as delay } from "node:timers/promises";
import type { BlacklistClient } from "../../src/client/blacklist-client.ts";
import type { Choices } from "../histories/choices.ts";
import { addTally, ClientLoad, emptyTally, type Tally } from "../support/client-load.ts";
import type { Ledger } from "../support/ledger.ts";

export interface VisitorsSetup {
  readonly connect: () => BlacklistClient;
  readonly name: string;
  readonly choices: Choices;
  readonly ledger: Ledger;
  /** Between one that is gone and the next. */
  readonly pauseMs: number;
}

/**
 * Gateways that come, ask, and go, one after the other. What a client leaves behind that was closed, here or at the service, is seen in
 * what their processes hold.
 */
export class Visitors {
  readonly #setup: VisitorsSetup;
  readonly #stopping = new AbortController();
  #tally = emptyTally();
  #running: Promise<void> = Promise.resolve();

  constructor(setup: VisitorsSetup) {
    this.#setup = setup;
  }

  start(): void {
    this.#running = this.#comeAndGo();
  }

  /** What has happened since the last time. */
  take(): Tally {
    const taken = this.#tally;
    this.#tally = emptyTally();
    return taken;
  }

  /** Resolves when the last one is gone. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  async #comeAndGo(): Promise<void> {
    const { pauseMs } = this.#setup;
    const { signal } = this.#stopping;
    for (let number = 1; !signal.aborted; number++) {
      await this.#visit(number);
      await delay(pauseMs, undefined, { signal }).catch(() => {});
    }
  }

  async #visit(number: number): Promise<void> {
    const { connect, name, choices, ledger } = this.#setup;
    const client = connect();
    const load = new ClientLoad({
      ...{ client, ledger, name: `${name}, visitor ${number}`, choices: choices.for(`visitor ${number}`) },
      pace: { checkers: 1, checkPauseMs: 0, revokers: 0, revokePauseMs: 0, lifetimeMs: [0, 0] },
      onAcknowledged: () => {},
    });
    load.start();
    // It has asked once by then.
    await load.stop();
    client.close();
    addTally(this.#tally, load.take());
  }
}
