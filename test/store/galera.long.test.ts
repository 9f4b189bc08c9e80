import { expect } from "chai";
import mysql, { type Connection, type RowDataPacket } from "mysql2/promise";
import { type Galera, ownGalera } from "../support/galera.ts";
import type { PrivateMariadb } from "../support/mariadb.ts";
import { at, entry, expiryContext, HOUR, openTestStore, type TestStore } from "./open-test-store.ts";

/** Stops after this many acknowledged writes, of which an earlier version lost about five. */
const ENOUGH = 3000;
const LONG_ENOUGH_MS = 60_000;
/** The minimum for a conclusive test. */
const AT_LEAST = 500;

interface Written {
  readonly own: string;
  readonly shared: string;
  readonly created: readonly boolean[];
  readonly number: number;
  readonly stamp: string;
}

describe("stores that write at several nodes of a Galera cluster", function () {
  this.timeout(180_000);
  let galera: Galera;
  let name: string;
  let stores: TestStore[];
  let admins: Connection[];

  before(async function () {
    galera = await ownGalera(this, 3);
  });

  after(async () => {
    await galera?.stop();
  });

  beforeEach(async () => {
    stores = [];
    admins = [];
    const [first] = galera.nodes as [PrivateMariadb];
    ({ name } = await first.createDatabase());
    for (const node of galera.nodes) {
      stores.push(await openTestStore(node.url(name)));
      await galera.synced();
      admins.push(await mysql.createConnection(node.url(name)));
    }
  });

  afterEach(async () => {
    for (const admin of admins) admin.destroy();
    await Promise.all(stores.map(({ store }) => store.close()));
  });

  const rowsAt = async (admin: Connection, sql: string) => (await admin.query<RowDataPacket[]>(sql))[0];

  it("find at every node each commit that any of them acknowledged, with a stamp of its own, whole", async () => {
    const written: Written[] = [];
    let refused = 0;
    const giveUpAt = performance.now() + LONG_ENOUGH_MS;
    // At two of the three: with more of them nearly every write conflicts.
    const writers = stores.slice(0, 2).map(async ({ store }, writer) => {
      for (let count = 0; written.length < ENOUGH && performance.now() < giveUpAt; count++) {
        const [own, shared] = [`${writer}/${count}`, `shared/${count}`];
        try {
          const { revision, results } = await store.write([entry(own), entry(shared)], expiryContext());
          written.push({
            own,
            shared,
            created: results.map(({ outcome }) => outcome === "created"),
            ...revision,
          });
        } catch (error) {
          expect(error).to.include({ reason: "STORE_UNAVAILABLE" });
          refused++;
        }
      }
    });
    await Promise.all(writers);
    await galera.synced();
    expect(written.length, `${refused} were refused`).to.be.above(AT_LEAST);
    for (const admin of admins) {
      const tokens = await rowsAt(admin, "SELECT jti, revision, created_revision FROM blacklisted_tokens");
      const commits = await rowsAt(
        admin,
        "SELECT revision, LOWER(HEX(stamp)) AS stamp FROM blacklist_commits",
      );
      const there = new Set(tokens.map(({ jti }) => String(jti)));
      const stamps = new Map(commits.map(({ revision, stamp }) => [revision, stamp]));
      const lost = written.filter(({ own, shared }) => !there.has(own) || !there.has(shared));
      const withoutRow = written.filter(({ number, stamp }) => stamps.get(number) !== stamp);
      const orphans = tokens.filter(
        ({ revision, created_revision }) => !stamps.has(revision) || !stamps.has(created_revision),
      );
      expect([lost, withoutRow, orphans]).to.deep.equal([[], [], []]);
      // Consecutive numbers, and the state row has the last.
      const [state] = await rowsAt(admin, "SELECT revision FROM blacklist_state");
      expect([stamps.size - 1, Math.max(...stamps.keys())]).to.deep.equal([state?.revision, state?.revision]);
    }
    const creators = new Map<string, number>();
    for (const { shared, created } of written) {
      expect(created[0]).to.equal(true);
      creators.set(shared, (creators.get(shared) ?? 0) + (created[1] ? 1 : 0));
    }
    expect([...creators].filter(([, count]) => count > 1)).to.deep.equal([]);
  });

  it("report no entry as pruned that still exists", async () => {
    const longAgo = Date.now() - 10 * HOUR;
    const [first] = stores as [TestStore];
    const entries = Array.from({ length: 900 }, (_, index) =>
      entry(`over/${index}`, { expiresAt: at(longAgo) }),
    );
    await first.store.write(entries, expiryContext(longAgo - HOUR));
    await galera.synced();
    const prune = { retentionMs: 0, limit: 20, expiredBefore: undefined, dryRun: false };
    let [pruned, refused] = [0, 0];
    await Promise.all(
      stores.map(async ({ store }, writer) => {
        for (let count = 0; count < 60; count++) {
          await store
            .prune({ ...expiryContext(), ...prune })
            .then((receipt) => (pruned += receipt.count))
            .catch(() => refused++);
          await store.write([entry(`${writer}/${count}`)], expiryContext()).catch(() => refused++);
        }
      }),
    );
    await galera.synced();
    for (const admin of admins) {
      const [left] = await rowsAt(
        admin,
        "SELECT COUNT(*) AS n FROM blacklisted_tokens WHERE jti LIKE 'over/%'",
      );
      expect(pruned).to.be.within(1, 900 - Number(left?.n));
    }
  });
});
