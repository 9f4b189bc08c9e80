import type { Connection } from "mysql2/promise";
import type { FaultProxy } from "../support/fault-proxy.ts";
import { FaultyDatabase } from "../support/faulty-database.ts";
import type { PrivateMariadb } from "../support/mariadb.ts";
import { openTestStore, type TestStore } from "./open-test-store.ts";

/** Stores on one new database, whose connections can fail. */
export class StoreStage {
  readonly url: string;
  /** The same database through the proxy. */
  readonly proxiedUrl: string;
  readonly proxy: FaultProxy;
  /** A direct connection to the database. */
  readonly admin: Connection;
  readonly #database: FaultyDatabase;
  readonly #opened: TestStore[] = [];

  private constructor(database: FaultyDatabase) {
    this.#database = database;
    ({ url: this.url, proxiedUrl: this.proxiedUrl, proxy: this.proxy, admin: this.admin } = database);
  }

  static async on(server: PrivateMariadb): Promise<StoreStage> {
    return new StoreStage(await FaultyDatabase.create(server));
  }

  /** A further store, with a direct connection. */
  open(): Promise<TestStore> {
    return this.#open(this.url);
  }

  /** A further store, connected through the proxy. */
  openProxied(): Promise<TestStore> {
    return this.#open(this.proxiedUrl);
  }

  async close(): Promise<void> {
    await Promise.all(this.#opened.map(({ store }) => store.close()));
    await this.#database.close();
  }

  async #open(url: string): Promise<TestStore> {
    const test = await openTestStore(url);
    this.#opened.push(test);
    return test;
  }
}
