import { execFile } from "node:child_process";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { cpuSeconds } from "../cpu-time.ts";
import { target } from "../result.ts";
import { BenchDatabase } from "../stage/database.ts";
import { fillTable } from "../stage/fill.ts";
import type { Ground } from "../stage/ground.ts";
import { migrate, type ServiceProcess, startService } from "../stage/service.ts";
import { LIVE_TOKENS } from "../tokens.ts";
import type { Scenario } from "./scenario.ts";

const MAIN = fileURLToPath(new URL("../../dist/main.js", import.meta.url));
const MAX_SECONDS = 300;

interface Bulk {
  readonly seconds: number;
  /** CPU time of the service and its database. */
  readonly servingSeconds: number;
}

/** Moves all entries from one deployment to another with the commands that operators use. */
export function bulkScenario(): Scenario<Ground> {
  const name = `Export and import of ${LIVE_TOKENS.toLocaleString("en")} entries`;
  return {
    name,
    async run(_options, ground) {
      const database = ground.closing(await BenchDatabase.start());
      await migrate(database.url);
      await fillTable(database.url, { to: LIVE_TOKENS });
      await database.settle();
      const source = await serving(ground, database, "bulk-source");
      const file = join(ground.guard.folder, "blacklist.ndjson");
      const exported = await timed(source, database, ["export", "--output", file]);
      await source.close();
      await database.close();

      const elsewhere = ground.closing(await BenchDatabase.start());
      await migrate(elsewhere.url);
      const destination = await serving(ground, elsewhere, "bulk-destination");
      const imported = await timed(destination, elsewhere, ["import", file]);
      await destination.close();
      await elsewhere.close();

      const { size } = await stat(file);
      const row = (what: string, { seconds, servingSeconds }: Bulk) => ({
        name: what,
        values: [seconds, LIVE_TOKENS / seconds, servingSeconds, size / LIVE_TOKENS],
      });
      return {
        name,
        unit: "one run of each command",
        figures: {
          headings: ["seconds", "entries a second", "serving cpu, s", "bytes an entry"],
          rows: [row("export", exported), row("import", imported)],
        },
        targets: [
          target("Export, seconds for a million entries", exported.seconds, { atMost: MAX_SECONDS }),
          target("Import, seconds for a million entries", imported.seconds, { atMost: MAX_SECONDS }),
        ],
        skipped: [],
      };
    },
  };
}

async function serving(ground: Ground, { url }: BenchDatabase, name: string): Promise<ServiceProcess> {
  const service = ground.closing(await startService(ground.guard, { name, databaseUrl: url }));
  await service.indexLoaded();
  return service;
}

/** Rejects unless the command succeeds. */
async function timed(
  { pid, port }: ServiceProcess,
  database: BenchDatabase,
  args: readonly string[],
): Promise<Bulk> {
  const pids = [pid, database.pid];
  const before = cpuSeconds(pids);
  const began = performance.now();
  await promisify(execFile)(process.execPath, [MAIN, ...args, "--address", `127.0.0.1:${port}`]);
  return { seconds: (performance.now() - began) / 1000, servingSeconds: cpuSeconds(pids) - before };
}
