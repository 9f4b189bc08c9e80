import { rm } from "node:fs/promises";
import { join } from "node:path";
import { findServer } from "./mariadb-files.ts";
import { freshDatabase, freshFolder } from "./shared.ts";

/** A kind of database. */
export interface Backend {
  readonly name: string;
  /** Creates an empty database. */
  create(): Promise<FreshDatabase>;
}

export interface FreshDatabase {
  /** The value of DATABASE_URL. */
  readonly url: string;
  dispose(): Promise<void>;
}

/** The databases for which specs are registered. */
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
