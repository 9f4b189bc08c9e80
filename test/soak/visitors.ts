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
  /** Pause between two of them. */
  readonly pauseMs: number;
}

/**
 * Gateways that connect, check and close, one after the other. A leak after closing, in the client or in the service, shows in
 * the memory of the processes.
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

  /** The counts since the last call. */
  take(): Tally {
    const taken = this.#tally;
    this.#tally = emptyTally();
    return taken;
  }

  /** Resolves when the last one has closed. */
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
    // It has checked once by then.
    await load.stop();
    client.close();
    addTally(this.#tally, load.take());
  }
}
