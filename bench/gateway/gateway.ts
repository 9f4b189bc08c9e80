import { fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Ground } from "../stage/ground.ts";

/** A separate process that uses the service as a gateway does, so that its cost is distinct from that of the bench. */
export interface Gateway {
  readonly pid: number;
  /** Runs one of the functions that the process offers: see `offer()`. */
  ask<R>(what: string, given?: unknown): Promise<R>;
  /** May be called twice. */
  close(): Promise<void>;
}

export interface GatewayStart {
  /** One of the programs in this folder. */
  readonly program: string;
  /** Also names the folder of its profile. */
  readonly name: string;
  /** The process's input. */
  readonly given: unknown;
  readonly profileFolder?: string | undefined;
}

/** Starts a gateway. It ends with the bench, however the bench ends. */
export async function startGateway(
  { closing }: Ground,
  { program, name, given, profileFolder }: GatewayStart,
): Promise<Gateway> {
  const profile =
    profileFolder === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${join(profileFolder, name)}`];
  const child = fork(fileURLToPath(new URL(program, import.meta.url)), [JSON.stringify(given)], {
    execArgv: ["--expose-gc", "--import", import.meta.resolve("tsx"), ...profile],
    serialization: "advanced",
  });
  const ended = once(child, "exit").then(() => {
    throw new Error(`the ${name} process has ended`);
  });
  // The rejection is reported by the next `ask`.
  ended.catch(() => {});

  async function ask<R>(what: string, given?: unknown): Promise<R> {
    const answered = once(child, "message");
    child.send({ what, given });
    const [{ result, error }] = (await Promise.race([answered, ended])) as [{ result: R; error?: string }];
    if (error !== undefined) throw new Error(`the ${name} process: ${error}`);
    return result;
  }

  const gateway = closing({
    pid: child.pid as number,
    ask,
    close: async () => {
      if (child.connected) child.disconnect();
      await ended.catch(() => {});
    },
  });
  await ask("start");
  return gateway;
}
