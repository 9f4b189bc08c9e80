import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { AcknowledgedBatch, Tally } from "../support/client-load.ts";
import type { ClientProcessSetup, FromClient, ToClient } from "./client-process.ts";

const MAIN = fileURLToPath(new URL("client-process.ts", import.meta.url));

export interface SoakClientOptions extends ClientProcessSetup {
  readonly env: Readonly<Record<string, string>>;
  readonly onAcknowledged: (batch: AcknowledgedBatch) => void;
  readonly onTally: (tally: Tally) => void;
}

/** A client library under load, in a process of its own. */
export class SoakClient {
  readonly name: string;
  readonly #child: ChildProcess;
  readonly #stopped: Promise<void>;
  readonly #exited: Promise<unknown>;
  #ready = false;
  #stopping = false;

  constructor({ env, onAcknowledged, onTally, ...setup }: SoakClientOptions) {
    this.name = setup.name;
    // Detached, so that Ctrl-C reaches only the driver, which then decides what to stop. It still ends with the driver.
    const child = fork(MAIN, [JSON.stringify(setup)], {
      execArgv: ["--import", "tsx"],
      detached: true,
      env: { ...process.env, ...env },
    });
    this.#child = child;
    this.#exited = once(child, "exit");
    this.#stopped = new Promise((resolve, reject) => {
      child.on("message", (message: FromClient) => {
        if (message.kind === "acknowledged") onAcknowledged(message.batch);
        else if (message.kind === "stopped") resolve();
        else {
          this.#ready = message.ready;
          onTally(message.tally);
        }
      });
      child.once("exit", (code) => reject(new Error(`the client ${setup.name} ended with ${code}`)));
    });
    // An end on request is reported; before that it is a violation.
    this.#stopped.catch((error: Error) => {
      if (!this.#stopping) onTally({ checks: 0, revoked: 0, failed: [], violations: [error.message] });
    });
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  /** Whether the client has recently reported progress. */
  get ready(): boolean {
    return this.#ready;
  }

  tell(batch: AcknowledgedBatch): void {
    this.#send({ kind: "acknowledged", batch });
  }

  /** Resolves when its last call and its process have ended. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#send({ kind: "stop" });
    await this.#stopped;
    await this.#exited;
  }

  async kill(): Promise<void> {
    this.#stopping = true;
    this.#child.kill("SIGKILL");
    await this.#exited;
  }

  #send(message: ToClient): void {
    // The end of the process is handled elsewhere.
    if (this.#child.connected) this.#child.send(message, () => {});
  }
}
