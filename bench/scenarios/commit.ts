import { multiRowInsert } from "../contestants/mysql.ts";
import { openStoreContestant } from "../contestants/store.ts";
import { PEER_TABLE } from "../stage/database.ts";
import { compare, type Scenario } from "./scenario.ts";

const ROWS = 128;

/** Where the time of one commit goes: the same rows with fewer and fewer layers around them. */
export function commitScenario(): Scenario {
  const name = `One commit of ${ROWS} new rows`;
  return {
    name,
    async run({ rounds, seconds }, { database }) {
      await database.copyTable();
      await database.createBareTables();
      const store = await openStoreContestant(database, { rows: ROWS });
      try {
        const contestants = [
          { ...store, name: "store, with outcomes and order" },
          multiRowInsert("INSERT, all indexes", { table: PEER_TABLE, rows: ROWS }, database),
          multiRowInsert("INSERT, primary key alone", { table: "bare_tokens", rows: ROWS }, database),
          multiRowInsert("INSERT, table in memory", { table: "memory_tokens", rows: ROWS }, database),
        ];
        const rows = await compare(contestants, { callers: 1, rounds, seconds });
        return { name, unit: "commits", rows, targets: [], skipped: [] };
      } finally {
        await store.close();
      }
    },
  };
}
