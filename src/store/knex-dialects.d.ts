// Knex publishes its dialects for extension but types only its front: see the two engines.
declare module "knex/lib/dialects/*/index.js" {
  import type { Knex } from "knex";

  const Client: typeof Knex.Client;
  export default Client;
}
