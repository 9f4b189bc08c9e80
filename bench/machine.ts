import { cpus } from "node:os";

/** The machine and the versions with which the figures were measured. */
export interface Machine {
  readonly node: string;
  readonly cpu: string;
  readonly cpus: number;
  /** Undefined if it was not started. */
  readonly mariadb: string | undefined;
  /** Undefined if it is not installed. */
  readonly redis: string | undefined;
}

export function describeMachine(versions: Pick<Machine, "mariadb" | "redis">): Machine {
  const all = cpus();
  return {
    node: process.versions.node,
    cpu: all[0]?.model.trim() ?? "unknown",
    cpus: all.length,
    ...versions,
  };
}
