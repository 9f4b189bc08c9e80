import type { EpochMs, Jti } from "../../src/entry.ts";
import { built } from "../built.ts";
import type { Contestant } from "../contestant.ts";
import type { BenchDatabase } from "../stage/database.ts";
import { freshJti } from "../tokens.ts";

const DAY_MS = 86_400_000;

/**
 * The built store inside this process, without gRPC. With its group commit, or with a commit per call: the same transaction, order
 * and outcomes, on a single connection, because more would only queue on the row that orders commits.
 */
export async function openStoreContestant(
  database: BenchDatabase,
  { rows = 1, grouped = true }: { rows?: number; grouped?: boolean } = {},
): Promise<Contestant & { close(): Promise<void> }> {
  const { openStore } = await built<typeof import("../../src/store/open-store.ts")>("store/open-store.js");
  const { parseDatabaseUrl } =
    await built<typeof import("../../src/store/database-url.ts")>("store/database-url.js");
  const { Writer } = await built<typeof import("../../src/blacklist/writer.ts")>("blacklist/writer.js");
  const { systemClock } = await built<typeof import("../../src/time/clock.ts")>("time/clock.js");
  const leewayMs = 300_000;
  const store = openStore(parseDatabaseUrl(database.url), { clock: systemClock, leewayMs });
  const writer = new Writer({ store, onCommit() {}, clock: systemClock, leewayMs });
  const caller = { isGone: false };
  return {
    name: grouped ? "store with group commit" : "store, a commit each",
    pids: [database.pid],
    async call() {
      const expiresAt = (Date.now() + DAY_MS) as EpochMs;
      const entries = Array.from({ length: rows }, () => ({
        key: freshJti() as Jti,
        expiresAt,
        reason: "logout",
        revokedBy: "",
      }));
      const { results } = grouped
        ? await writer.write(entries, caller)
        : await store.write(entries, { now: systemClock.now(), leewayMs });
      if (results.some(({ outcome }) => outcome !== "created")) throw new Error("an entry was not created");
    },
    close: async () => {
      await writer.settled();
      await store.close();
    },
  };
}
