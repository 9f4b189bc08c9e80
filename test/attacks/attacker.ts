import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { getPriority, setPriority } from "node:os";
import { fileURLToPath } from "node:url";
import type { Order, Played } from "./attacker-process.ts";

const PROGRAM = fileURLToPath(new URL("attacker-process.ts", import.meta.url));

/** Runs attacks in a process of low priority, since an attacker on another machine would not use this machine's processor. */
export class Attacker {
  #child: ChildProcess | undefined;
  /** Resolves when the process has ended. */
  #gone: Promise<Played> | undefined;

  /** Resolves with how much was sent; "overdue" if the attack had not ended after `withinMs` and was killed; or "let in". */
  async play(order: Order, { withinMs }: { withinMs: number }): Promise<number | "let in" | "overdue"> {
    const child = this.#start();
    child.send(order);
    const answered = new Promise<Played>((resolve) =>
      child.once("message", (played) => resolve(played as Played)),
    );
    let timer: NodeJS.Timeout | undefined;
    const overdue = new Promise<"overdue">((resolve) => {
      timer = setTimeout(() => resolve("overdue"), withinMs);
    });
    const played = await Promise.race([answered, this.#gone as Promise<Played>, overdue]);
    clearTimeout(timer);
    if (played === "overdue") {
      this.stop();
      return played;
    }
    if ("error" in played) throw new Error(`${order.name}: ${played.error}`);
    return played.sent;
  }

  stop(): void {
    this.#child?.kill("SIGKILL");
    this.#child = undefined;
  }

  #start(): ChildProcess {
    if (this.#child !== undefined) return this.#child;
    const child = fork(PROGRAM, {
      execArgv: ["--import", "tsx"],
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
    if (child.pid !== undefined) setPriority(child.pid, Math.min(19, getPriority() + 10));
    this.#child = child;
    this.#gone = once(child, "exit").then(() => ({ error: "the attacker has ended" }));
    return child;
  }
}
