import { setTimeout as delay } from "node:timers/promises";
import { until } from "../support/until.ts";
import type { Choices } from "./choices.ts";
import type { Cluster } from "./cluster.ts";
import { now } from "./driver-clock.ts";
import type { Gateway } from "./gateway.ts";
import type { Freshness, Interval } from "./history.ts";
import type { Keyring } from "./keyring.ts";
import type { Recorder } from "./recorder.ts";
import type { Replica } from "./replica.ts";

/** Operations that have to begin while a fault lasts. */
const DURING_FAULT = 350;
const HOLD_TIMEOUT_MS = 15_000;
const INTERROGATION = 24;
const INTERROGATION_TIMEOUT_MS = 1500;

/** Where a fault plays, and what it has to tell the checker. */
export class Stage {
  readonly cluster: Cluster;
  readonly choices: Choices;
  readonly recorder: Recorder;
  readonly keyring: Keyring;
  readonly undoings: Interval[] = [];
  readonly readOnly: Interval[] = [];
  /** What storms have blacklisted, beside the keys: every replica is asked about all of it in the end. */
  readonly fillers: string[] = [];
  #began = 0;

  constructor(options: { cluster: Cluster; choices: Choices; recorder: Recorder; keyring: Keyring }) {
    this.cluster = options.cluster;
    this.choices = options.choices;
    this.recorder = options.recorder;
    this.keyring = options.keyring;
  }

  /** From now on operations count as begun during the fault. */
  begin(): void {
    this.#began = this.recorder.started;
  }

  /** One or two replicas mostly, sometimes all. */
  victims(): Replica[] {
    const { replicas } = this.cluster;
    const which = this.choices.number();
    const count = which < 0.5 ? 1 : which < 0.8 ? 2 : replicas.length;
    return this.choices.some(replicas, count);
  }

  /** One or two gateways: the others go on answering. */
  gatewayVictims(): Gateway[] {
    return this.choices.some(this.cluster.gateways, this.choices.whole(1, 2));
  }

  /** A replica that keeps a gateway's copy, or those of several. */
  async watchedReplica(): Promise<Replica> {
    const number = await this.choices.pick(this.cluster.gateways).watched();
    return this.cluster.replicas[number] as Replica;
  }

  /** Lets the fault last for `ms`, and for as long as it takes until enough has been tried during it. */
  async hold(ms: number): Promise<void> {
    await delay(ms);
    await until(() => this.recorder.started - this.#began >= DURING_FAULT, {
      withinMs: HOLD_TIMEOUT_MS,
      what: "enough operations begin during the fault",
    });
  }

  /** kill -9 of the database. */
  async killDatabase(): Promise<void> {
    const from = now();
    await this.cluster.server.kill("SIGKILL");
    // With a binary log nobody ever sees a commit that a crash undoes.
    if (!this.cluster.binaryLog) this.undoings.push({ from, to: now() });
  }

  /** Asks a replica that has just come back about what happened in the meantime, before anybody else may wake it up. */
  async interrogate(replica: Replica): Promise<void> {
    const { hot, old } = this.keyring;
    const recent = [...old.slice(-30), ...hot];
    const asked = Array.from({ length: INTERROGATION }, () => {
      const which = this.choices.number();
      const freshness: Freshness =
        which < 0.6 ? { kind: "fresh" } : { kind: "max-staleness", ms: this.choices.whole(50, 200) };
      const jtis = [this.choices.pick(this.fillers.length > 0 && which < 0.3 ? this.fillers : recent)];
      return this.recorder.check(replica, jtis, { freshness, timeoutMs: INTERROGATION_TIMEOUT_MS });
    });
    await Promise.all(asked);
  }

  /** The same for a gateway. One that is paused answers when it goes on: before anything else, if it is asked before that. */
  async interrogateGateway(gateway: Gateway): Promise<void> {
    const { hot, old } = this.keyring;
    const recent = [...old.slice(-30), ...hot];
    const asked = Array.from({ length: INTERROGATION }, () => {
      const which = this.choices.number();
      const jti = this.choices.pick(this.fillers.length > 0 && which < 0.3 ? this.fillers : recent);
      const maxStalenessMs = this.choices.whole(50, 300);
      if (this.choices.chance(0.4)) return this.recorder.peek(gateway, jti, { maxStalenessMs });
      const freshness: Freshness = this.choices.chance(0.6)
        ? { kind: "fresh" }
        : { kind: "max-staleness", ms: maxStalenessMs };
      return this.recorder.ask(gateway, [jti], { freshness, timeoutMs: INTERROGATION_TIMEOUT_MS });
    });
    await Promise.all(asked);
  }
}
