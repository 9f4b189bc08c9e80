import { fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Ground } from "../stage/ground.ts";

/** A process of its own that uses the service as a gateway does, so that what it costs can be told from what the bench costs. */
export interface Gateway {
  readonly pid: number;
  /** Has it do one of the things that it offers: see `offer()`. */
  ask<R>(what: string, given?: unknown): Promise<R>;
  /** May be called twice. */
  close(): Promise<void>;
}

export interface GatewayStart {
  /** One of the programs beside this file. */
  readonly program: string;
  /** Also of the folder for its profile. */
  readonly name: string;
  /** What it is told to begin with. */
  readonly given: unknown;
  readonly profileFolder?: string | undefined;
}

/** Starts one. It ends with the bench, however that ends: it has nobody to answer then. */
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
  // It is told to whoever asks it.
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
