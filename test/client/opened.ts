import type { BlacklistClient } from "../../src/client/blacklist-client.ts";
import type { ConnectOptions } from "../../src/client/connect-options.ts";
import type { LocalCopyFactory } from "../../src/client/local-copy/local-copy.ts";
import { openClient } from "../../src/client/open-client.ts";
import { type Clock, systemClock } from "../../src/time/clock.ts";
import {
  type Script,
  type ScriptedOptions,
  type ScriptedService,
  startScripted,
} from "./scripted-service.ts";

export interface OpenedSetup extends Omit<ConnectOptions, "address"> {
  readonly clock?: Clock;
  readonly localCopy?: LocalCopyFactory;
  /** 0.5 unless given. */
  readonly random?: () => number;
}

/** A client's log and metrics. */
export interface Witness {
  readonly logs: [level: string, message: string, details: Readonly<Record<string, unknown>>][];
  readonly events: [name: string, event: unknown][];
}

export interface Opened extends Witness {
  readonly client: BlacklistClient;
}

/** A client with its log and metrics in memory, and constant retry delays. */
export function opened(address: string | readonly string[], setup: OpenedSetup = {}): Opened {
  const { clock = systemClock, random = () => 0.5, localCopy, ...options } = setup;
  const logs: Witness["logs"] = [];
  const events: Witness["events"] = [];
  const record = (name: string) => (event: unknown) => void events.push([name, event]);
  const client = openClient({
    clock,
    random,
    localCopy,
    options: {
      address,
      log: {
        info: (message, details) => void logs.push(["info", message, details]),
        warn: (message, details) => void logs.push(["warn", message, details]),
      },
      metrics: {
        checked: record("checked"),
        unanswered: record("unanswered"),
        called: record("called"),
        retried: record("retried"),
        state: record("state"),
      },
      ...options,
    },
  });
  return { client, logs, events };
}

/** Clients and scripted services of one spec, which are closed after it. */
export class Stage {
  readonly #closers: (() => void)[] = [];

  async scripted(
    script: Script,
    setup: OpenedSetup & ScriptedOptions = {},
  ): Promise<Opened & { service: ScriptedService }> {
    const { streams = true, port = 0, ...opening } = setup;
    const service = this.use(await startScripted(script, { streams, port }));
    return { ...this.client(service.address, opening), service };
  }

  /** Closed with the stage. */
  use<T extends { stop(): void }>(service: T): T {
    this.#closers.push(() => service.stop());
    return service;
  }

  client(address: string | readonly string[], setup: OpenedSetup = {}): Opened {
    const made = opened(address, setup);
    this.#closers.push(() => made.client.close());
    return made;
  }

  close(): void {
    for (const close of this.#closers.splice(0).reverse()) close();
  }
}
