import { setTimeout as delay } from "node:timers/promises";
import type { Attack, Extent } from "./attack.ts";
import { Attacker } from "./attacker.ts";
import { type Figures, figuresOf, MIB, RETURN_MIB } from "./figures.ts";
import { Observer } from "./observer.ts";
import { openStage } from "./stage.ts";

/** How long the service is observed before an attack. */
const QUIET_MS = 3000;
/** How much longer than planned an attack may take before it is ended. */
const OVERDUE_MS = 30_000;
/** How long after an attack observations count as during it. */
const AFTERMATH_MS = 1000;
/** How long memory may take to be released. */
const RETURN_MS = 20_000;

/** Runs one attack on a new service of `main`, and observes it. Rejects when `signal` is aborted. */
export async function play(
  attack: Attack,
  extent: Extent,
  { main, signal }: { main?: string | undefined; signal: AbortSignal },
): Promise<Figures> {
  const stage = await openStage({ tls: attack.tls === true, main });
  const attacker = new Attacker();
  // Pauses for garbage collection.
  const interrupt = () => {
    attacker.stop();
    void stage.stop();
  };
  signal.addEventListener("abort", interrupt, { once: true });
  const observer = new Observer(stage);
  let ended = false;
  void stage.process.ended.then(() => {
    ended = true;
  });
  try {
    await observer.warm();
    observer.start();
    await delay(QUIET_MS / 3);
    await observer.take({ complete: false });
    await delay((QUIET_MS * 2) / 3);
    const quiet = await observer.take({ complete: true });
    const order = { name: attack.name, target: stage.target, extent };
    signal.throwIfAborted();
    const sent = await attacker.play(order, { withinMs: extent.forMs + OVERDUE_MS });
    await delay(AFTERMATH_MS);
    const attacked = await observer.take({ complete: true });
    const baseline = quiet.rssBytes;
    const until = performance.now() + RETURN_MS;
    const isBack = () => observer.lastRssBytes <= baseline + RETURN_MIB * MIB;
    while (!ended && !isBack() && performance.now() < until) await delay(100);
    const left = observer.lastRssBytes;
    let rssAgainBytes: number | undefined;
    if (!ended && !isBack()) {
      await attacker.play(order, { withinMs: extent.forMs + OVERDUE_MS });
      rssAgainBytes = (await observer.take({ complete: true })).rssBytes;
    }
    const lived = !ended;
    attacker.stop();
    await observer.stop();
    const log = await stage.stop();
    return figuresOf({ attack, sent, lived, quiet, attacked, leftBytes: left, rssAgainBytes, log });
  } finally {
    signal.removeEventListener("abort", interrupt);
    attacker.stop();
    await observer.stop();
    await stage.stop();
  }
}
