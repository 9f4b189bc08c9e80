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

/** Operations that must begin during a fault. */
const DURING_FAULT = 350;
const HOLD_TIMEOUT_MS = 15_000;
const INTERROGATION = 24;
const INTERROGATION_TIMEOUT_MS = 1500;

/** The environment of a fault, and what it reports to the checker. */
export class Stage {
  readonly cluster: Cluster;
  readonly choices: Choices;
  readonly recorder: Recorder;
  readonly keyring: Keyring;
  readonly undoings: Interval[] = [];
  readonly readOnly: Interval[] = [];
  /** Entries created by storms, in addition to the keys: every replica is finally asked about all of them. */
  readonly fillers: string[] = [];
  #began = 0;

  constructor(options: { cluster: Cluster; choices: Choices; recorder: Recorder; keyring: Keyring }) {
    this.cluster = options.cluster;
    this.choices = options.choices;
    this.recorder = options.recorder;
    this.keyring = options.keyring;
  }

  /** Marks the beginning of the fault: further operations count as begun during it. */
  begin(): void {
    this.#began = this.recorder.started;
  }

  /** Usually one or two replicas, sometimes all. */
  victims(): Replica[] {
    const { replicas } = this.cluster;
    const which = this.choices.number();
    const count = which < 0.5 ? 1 : which < 0.8 ? 2 : replicas.length;
    return this.choices.some(replicas, count);
  }

  /** One or two gateways; the others continue. */
  gatewayVictims(): Gateway[] {
    return this.choices.some(this.cluster.gateways, this.choices.whole(1, 2));
  }

  /** A replica that feeds one or more gateways' copies. */
  async watchedReplica(): Promise<Replica> {
    const number = await this.choices.pick(this.cluster.gateways).watched();
    return this.cluster.replicas[number] as Replica;
  }

  /** Lets the fault last for `ms`, and until enough operations have begun during it. */
  async hold(ms: number): Promise<void> {
    await delay(ms);
    await until(() => this.recorder.started - this.#began >= DURING_FAULT, {
      withinMs: HOLD_TIMEOUT_MS,
      what: "enough operations begin during the fault",
    });
  }

  /** Kills the database with SIGKILL. */
  async killDatabase(): Promise<void> {
    const from = now();
    await this.cluster.server.kill("SIGKILL");
    // With a binary log, a commit that a crash undoes is never visible.
    if (!this.cluster.binaryLog) this.undoings.push({ from, to: now() });
  }

  /** Checks at a replica that has just returned what happened meanwhile, before any other request reaches it. */
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

  /** The same for a gateway. A paused gateway processes an earlier request first when it continues. */
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
