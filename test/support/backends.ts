import { rm } from "node:fs/promises";
import { join } from "node:path";
import { findServer } from "./mariadb-files.ts";
import { freshDatabase, freshFolder } from "./shared.ts";

/** A kind of database the service can keep its blacklist in. */
export interface Backend {
  readonly name: string;
  /** A database nobody has used before. */
  create(): Promise<FreshDatabase>;
}

export interface FreshDatabase {
  /** What DATABASE_URL would hold. */
  readonly url: string;
  dispose(): Promise<void>;
}

/** Specs are written once and registered for each of these. */
export const backends: readonly Backend[] = [
  {
    name: "sqlite",
    async create() {
      const folder = await freshFolder();
      return {
        url: `sqlite:${join(folder, "token-blacklist.db")}`,
        dispose: () => rm(folder, { recursive: true, force: true }),
      };
    },
  },
  { name: process.env.TEST_MYSQL_URL ? "mysql" : (findServer()?.kind ?? "mariadb"), create: freshDatabase },
];
