// Knex publishes its dialects for extension but types only its main entry point: see mysql-pool.ts and sqlite-engine.ts.
declare module "knex/lib/dialects/*/index.js" {
  import { Knex } from "knex";

  class Client extends Knex.Client {
    _query(connection: unknown, query: object): Promise<unknown>;
  }
  export default Client;
}
