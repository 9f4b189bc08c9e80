import { setTimeout as delay } from "node:timers/promises";
import type { Choices } from "./choices.ts";
import type { Gateway } from "./gateway.ts";
import type { BlacklistCall, CheckCall, Freshness } from "./history.ts";
import type { Keyring } from "./keyring.ts";
import { longLife, shortLife } from "./lifetimes.ts";
import type { Recorder } from "./recorder.ts";
import type { Replica } from "./replica.ts";

const CLIENTS = 20;
/** Of each gateway. */
const GATEWAY_CLIENTS = 3;
/** Maximum number of open calls per client, so that it continues during a fault without responses. */
const OPEN_CALLS = 10;
/** Milliseconds between a client's calls. */
const PAUSE_MS = { from: 4, to: 20 };
/** Most clients have short deadlines; some wait longer than the service's timeouts, and see their results. */
const PATIENCE_MS = [100, 150, 250, 400, 400, 700, 1200, 3500];
/** The staleness allowed by the gateways' clients, lowest for the first: it determines how often a gateway requests proof. */
const STALENESS_MS = [
  { from: 50, to: 300 },
  { from: 150, to: 1000 },
  { from: 400, to: 2000 },
];
/** Revisions named by checks: usually the latest seen, sometimes an old one, or one from before a crash. */
const REVISIONS_KEPT = 5000;
/** Checks that immediately follow an acknowledged write. */
const FOLLOW_UP_TIMEOUT_MS = 800;

/** Many clients that check and blacklist few keys at random replicas, and check them at gateways, until stopped. */
export class Workload {
  readonly #recorder: Recorder;
  readonly #keyring: Keyring;
  readonly #replicas: readonly Replica[];
  readonly #gateways: readonly Gateway[];
  readonly #revisions: string[] = [];
  readonly #created = new Set<string>();
  readonly #followUps: Promise<unknown>[] = [];
  readonly #clients: readonly Promise<void>[];
  #stopped = false;

  constructor(options: {
    recorder: Recorder;
    keyring: Keyring;
    replicas: readonly Replica[];
    gateways: readonly Gateway[];
    choices: Choices;
  }) {
    this.#recorder = options.recorder;
    this.#keyring = options.keyring;
    this.#replicas = options.replicas;
    this.#gateways = options.gateways;
    const clients = Array.from({ length: CLIENTS }, (_, number) => {
      const choices = options.choices.for(`client ${number}`);
      return this.#client(choices, () => this.#step(choices));
    });
    const ofGateways = this.#gateways.flatMap((gateway) =>
      Array.from({ length: GATEWAY_CLIENTS }, (_, number) => {
        const choices = options.choices.for(`gateway ${gateway.index} client ${number}`);
        return this.#client(choices, () => this.#gatewayStep(gateway, choices));
      }),
    );
    this.#clients = [...clients, ...ofGateways];
  }

  /** Resolves when every call has ended. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#clients);
    await Promise.all(this.#followUps);
  }

  async #client(choices: Choices, step: () => Promise<void>): Promise<void> {
    const open = new Set<Promise<void>>();
    while (!this.#stopped) {
      const call = step().finally(() => open.delete(call));
      open.add(call);
      if (open.size >= OPEN_CALLS) await Promise.race(open);
      await delay(choices.between(PAUSE_MS.from, PAUSE_MS.to));
    }
    await Promise.all(open);
  }

  async #step(choices: Choices): Promise<void> {
    const replica = choices.pick(this.#replicas);
    const timeoutMs = choices.pick(PATIENCE_MS);
    if (choices.chance(0.14)) {
      this.#learn(await this.#blacklist(replica, choices, timeoutMs), choices);
    } else {
      const freshness = this.#freshness(choices);
      this.#seen(await this.#recorder.check(replica, this.#toCheck(choices), { freshness, timeoutMs }));
    }
  }

  async #gatewayStep(gateway: Gateway, choices: Choices): Promise<void> {
    const jtis = this.#toCheck(choices);
    const { from, to } = STALENESS_MS[gateway.index % STALENESS_MS.length] as { from: number; to: number };
    const maxStalenessMs = choices.whole(from, to);
    const which = choices.number();
    if (which < 0.25) {
      const seen = await this.#recorder.peek(gateway, jtis[0] as string, { maxStalenessMs });
      if (seen !== undefined) this.#seen(seen);
      return;
    }
    const freshness: Freshness =
      which < 0.7
        ? { kind: "fresh" }
        : which < 0.95 || this.#revisions.length === 0
          ? { kind: "max-staleness", ms: maxStalenessMs }
          : { kind: "at-least", revision: choices.pick(this.#revisions.slice(-30)) };
    const timeoutMs = choices.pick(PATIENCE_MS);
    this.#seen(await this.#recorder.ask(gateway, jtis, { freshness, timeoutMs }));
  }

  #blacklist(replica: Replica, choices: Choices, timeoutMs: number): Promise<BlacklistCall> {
    const { hot, old, upcoming } = this.#keyring;
    const others = choices.chance(0.25) ? choices.some([...hot, ...old.slice(-20)], choices.whole(1, 4)) : [];
    const early = choices.chance(0.02) ? choices.some(upcoming, 1) : [];
    const jtis = [choices.pick(hot), ...others, ...early];
    const tokens = jtis.map((jti) => ({
      jti,
      validUntil: this.#keyring.isShort(jti) && choices.chance(0.5) ? shortLife(choices) : longLife(choices),
    }));
    return this.#recorder.blacklist(replica, tokens, { timeoutMs });
  }

  #toCheck(choices: Choices): string[] {
    const { hot, upcoming, old } = this.#keyring;
    const pool = () => {
      const which = choices.number();
      if (which < 0.55) return choices.pick(hot);
      return which < 0.8 || old.length === 0 ? choices.pick(upcoming) : choices.pick(old);
    };
    return choices.chance(0.6) ? [pool()] : Array.from({ length: choices.whole(2, 10) }, pool);
  }

  #freshness(choices: Choices): Freshness {
    const which = choices.number();
    if (which < 0.6) return { kind: "fresh" };
    if (which < 0.82 || this.#revisions.length === 0) {
      return {
        kind: "max-staleness",
        ms: choices.chance(0.6) ? choices.whole(50, 300) : choices.whole(300, 2000),
      };
    }
    return {
      kind: "at-least",
      revision: choices.pick(
        choices.chance(0.7) ? this.#revisions.slice(-choices.pick([1, 30])) : this.#revisions,
      ),
    };
  }

  /** An acknowledged write must be visible everywhere at once: for fully fresh checks, and for checks that name its revision. */
  #learn({ answer, tokens }: BlacklistCall, choices: Choices): void {
    if (answer === undefined) return;
    this.#remember(answer.revision);
    const news = tokens.map(({ jti }) => jti).filter((jti) => !this.#created.has(jti));
    if (news.length === 0) return;
    for (const jti of news) this.#created.add(jti);
    for (const replica of this.#replicas) {
      const freshness: Freshness = choices.chance(0.7)
        ? { kind: "fresh" }
        : { kind: "at-least", revision: answer.revision };
      this.#followUps.push(
        this.#recorder.check(replica, news, { freshness, timeoutMs: FOLLOW_UP_TIMEOUT_MS }),
      );
    }
    for (const gateway of this.#gateways) {
      this.#followUps.push(this.#recorder.ask(gateway, news, { timeoutMs: FOLLOW_UP_TIMEOUT_MS }));
    }
  }

  /** What one gateway has reported, the others must report. */
  #seen({ answer, jtis, replica: asked, gateway: askedGateway }: CheckCall): void {
    if (answer === undefined) return;
    if (answer.revision !== "") this.#remember(answer.revision);
    const news = jtis.filter(
      (jti, index) => answer.verdicts[index] === "blacklisted" && !this.#created.has(jti),
    );
    if (news.length === 0) return;
    for (const jti of news) this.#created.add(jti);
    for (const replica of this.#replicas) {
      if (replica.index !== asked) {
        this.#followUps.push(this.#recorder.check(replica, news, { timeoutMs: FOLLOW_UP_TIMEOUT_MS }));
      }
    }
    for (const gateway of this.#gateways) {
      if (gateway.index !== askedGateway) {
        this.#followUps.push(this.#recorder.ask(gateway, news, { timeoutMs: FOLLOW_UP_TIMEOUT_MS }));
      }
    }
  }

  #remember(revision: string): void {
    this.#revisions.push(revision);
    if (this.#revisions.length > REVISIONS_KEPT) this.#revisions.shift();
  }
}
