import { setTimeout as delay } from "node:timers/promises";
import type { Choices } from "../histories/choices.ts";
import type { PrivateMariadb } from "../support/mariadb.ts";
import type { SoakReplica } from "./soak-replica.ts";

/** The environment of an event. */
export interface Scene {
  readonly server: PrivateMariadb;
  /** The first is never restarted: its memory shows leaks. */
  readonly replicas: readonly SoakReplica[];
  readonly choices: Choices;
  readonly shutdownGraceMs: number;
  readonly violation: (text: string) => void;
}

/** Events that happen in production. Each removes its effects before it resolves. */
export const EVENTS: Readonly<Record<string, (scene: Scene) => Promise<void>>> = {
  /** Stops replicas by SIGTERM and starts them again, one by one, as an upgrade does. */
  async "rolling-restart"({ replicas, shutdownGraceMs, violation }) {
    for (const replica of replicas.slice(1)) {
      const { code, milliseconds, stderr } = await replica.terminate({ graceMs: shutdownGraceMs });
      if (code !== 0) {
        const seconds = (milliseconds / 1000).toFixed(1);
        violation(`${replica.name} ended with ${code} ${seconds} s after SIGTERM: ${stderr}`);
      }
      await replica.startAgain();
    }
  },

  async "kill-replica"({ replicas, choices }) {
    const victim = choices.pick(replicas.slice(1));
    await victim.kill();
    await delay(choices.between(100, 1000));
    await victim.startAgain();
  },

  async "pause-replica"({ replicas, choices }) {
    const victim = choices.pick(replicas);
    await victim.signal("SIGSTOP");
    await delay(choices.between(200, 2500));
    await victim.signal("SIGCONT");
  },

  async network({ replicas, choices }) {
    const victims = choices.some(replicas, choices.whole(1, replicas.length));
    const fault = choices.pick(["blackhole", "hold", "reset", "refuse", "latency", "cut"] as const);
    for (const { proxy } of victims) {
      if (fault === "latency") proxy.latencyMs = choices.between(20, 300);
      else proxy[fault]();
    }
    await delay(choices.between(200, 2000));
    await Promise.all(victims.map(({ proxy }) => proxy.heal()));
  },

  async "kill-database"({ server, choices }) {
    await server.kill("SIGKILL");
    await delay(choices.between(0, 500));
    await server.restart();
  },

  async "restart-database"({ server }) {
    await server.restart();
  },

  async "pause-database"({ server, choices }) {
    server.pause();
    await delay(choices.between(200, 2000));
    server.resume();
  },
};
