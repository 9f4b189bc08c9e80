import { openSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { FolderGuard } from "../../test/support/folder-guard.ts";
import { type Access, GrpcClient } from "./grpc-client.ts";

export interface GrpcProcess {
  readonly pid: number;
  readonly port: number;
  readonly client: GrpcClient;
  /** The file with everything the process prints. */
  readonly log: string;
  /** Milliseconds from the start to the first accepted connection. */
  readonly startMs: number;
  /** May be called twice. */
  close(): Promise<void>;
}

export interface Launch {
  /** Unique among the processes of the bench. */
  readonly name: string;
  readonly args: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly port: number;
  readonly access?: Access | undefined;
}

/** Starts Node with `args`, and waits until it accepts connections on `port`. */
export async function launch(
  guard: FolderGuard,
  { name, args, environment, port, access }: Launch,
): Promise<GrpcProcess> {
  const log = join(guard.folder, `${name}.log`);
  const variables = Object.entries(environment).map(([key, value]) => `${key}=${value}`);
  const startedAt = performance.now();
  const child = await guard.spawn("env", [...variables, process.execPath, ...args], openSync(log, "a"));
  const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const client = new GrpcClient(port, access);
  try {
    await Promise.race([
      client.ready(),
      exited.then(() => Promise.reject(new Error("it ended before it listened"))),
    ]);
  } catch (cause) {
    client.close();
    throw new Error(`the ${name} process did not start:\n${await readFile(log, "utf8")}`, { cause });
  }
  return {
    pid: child.pid as number,
    port,
    client,
    log,
    startMs: performance.now() - startedAt,
    close: async () => {
      client.close();
      child.kill("SIGTERM");
      const force = setTimeout(() => child.kill("SIGKILL"), 10_000);
      await exited;
      clearTimeout(force);
    },
  };
}
