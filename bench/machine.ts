import { cpus } from "node:os";

/** What the figures were taken on. */
export interface Machine {
  readonly node: string;
  readonly cpu: string;
  readonly cpus: number;
  readonly mariadb: string;
  /** Undefined where it is not installed. */
  readonly redis: string | undefined;
}

export function describeMachine(versions: { mariadb: string; redis: string | undefined }): Machine {
  const all = cpus();
  return {
    node: process.versions.node,
    cpu: all[0]?.model.trim() ?? "unknown",
    cpus: all.length,
    ...versions,
  };
}
