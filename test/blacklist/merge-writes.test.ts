import { expect } from "chai";
import fc from "fast-check";
import { mergeWrites, SplitResults, type TokenResult } from "../../src/blacklist/merge-writes.ts";
import type { Entry, EpochMs, NewEntry } from "../../src/entry.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { HeldStore } from "../support/held-store.ts";
import { newEntry } from "../support/new-entry.ts";

const at = (ms: number) => ms as EpochMs;
const CREATED_AT = new FakeClock().now();
const EXPIRY_CONTEXT = { now: CREATED_AT, leewayMs: 0 };

/** The results of each request after all were merged, written as one commit, and split. */
async function commitTogether(table: readonly Entry[], requests: readonly NewEntry[][]): Promise<Told> {
  const store = new HeldStore({ clock: new FakeClock(), holding: false });
  for (const entry of table) store.table.set(entry.key, entry);
  const { results } = await store.write(mergeWrites(requests), EXPIRY_CONTEXT);
  const split = new SplitResults(results);
  return { told: requests.map((entries) => split.next(entries)), table: store.table };
}

/** The same with one commit per request, as the contract defines it. */
function commitInTurn(stored: readonly Entry[], requests: readonly NewEntry[][]): Told {
  const table = new Map(stored.map((entry) => [entry.key, entry]));
  const told = requests.map((entries) => {
    const before = new Map(table);
    for (const asked of entries) {
      const there = table.get(asked.key) ?? { ...asked, createdAt: CREATED_AT };
      table.set(asked.key, { ...there, expiresAt: at(Math.max(there.expiresAt, asked.expiresAt)) });
    }
    return entries.map(({ key }, index): TokenResult => {
      const entry = table.get(key) as Entry;
      const earlier = before.get(key);
      if (entries.findIndex((other) => other.key === key) < index)
        return { outcome: "already-blacklisted", entry };
      if (earlier === undefined) return { outcome: "created", entry };
      return { outcome: earlier.expiresAt < entry.expiresAt ? "extended" : "already-blacklisted", entry };
    });
  });
  return { told, table };
}

interface Told {
  readonly told: readonly (readonly TokenResult[])[];
  readonly table: ReadonlyMap<string, Entry>;
}

/** Few tokens and few expiries, so that requests collide. */
const asked = fc
  .record({
    key: fc.constantFrom("a", "b", "c", "d"),
    expiresAt: fc.integer({ min: 1, max: 5 }).map((step) => at(CREATED_AT + step)),
    reason: fc.constantFrom("", "stolen", "logout"),
    revokedBy: fc.constantFrom("", "auth-1", "auth-2"),
  })
  .map(({ key, ...rest }) => newEntry(key, rest));
const someRequests = fc.array(fc.array(asked, { minLength: 1, maxLength: 6 }), {
  minLength: 1,
  maxLength: 5,
});
const someTable = fc
  .uniqueArray(asked, { selector: ({ key }) => key, maxLength: 3 })
  .map((entries) => entries.map((entry): Entry => ({ ...entry, createdAt: at(CREATED_AT - 1) })));

describe("requests that share a commit", () => {
  it("are merged into one entry per jti: the first reason and caller, the latest expiry", () => {
    const merged = mergeWrites([
      [newEntry("a", { expiresAt: at(5), reason: "first" }), newEntry("b", { expiresAt: at(1) })],
      [newEntry("a", { expiresAt: at(7), reason: "second", revokedBy: "other" })],
      [newEntry("a", { expiresAt: at(6) }), newEntry("A", { expiresAt: at(2) })],
    ]);
    expect(merged).to.deep.equal([
      newEntry("a", { expiresAt: at(7), reason: "first" }),
      newEntry("b", { expiresAt: at(1) }),
      newEntry("A", { expiresAt: at(2) }),
    ]);
  });

  it("have results as if they were written one by one: the first creates, a later expiry extends", async () => {
    const first = newEntry("a", { expiresAt: at(CREATED_AT + 5), reason: "first" });
    const later = newEntry("a", { expiresAt: at(CREATED_AT + 7), reason: "later" });
    const { told } = await commitTogether([], [[first], [first], [later], [first]]);
    const stored: Entry = { ...first, createdAt: CREATED_AT };
    const extended: Entry = { ...stored, expiresAt: later.expiresAt };
    expect(told).to.deep.equal([
      [{ outcome: "created", entry: stored }],
      [{ outcome: "already-blacklisted", entry: stored }],
      [{ outcome: "extended", entry: extended }],
      [{ outcome: "already-blacklisted", entry: extended }],
    ]);
  });

  it("have a jti's outcome at its first occurrence in a request, with the stored token at each", async () => {
    const sooner = newEntry("a", { expiresAt: at(CREATED_AT + 1), reason: "first" });
    const later = newEntry("a", { expiresAt: at(CREATED_AT + 9), reason: "second" });
    const other = newEntry("b");
    const { told } = await commitTogether([], [[sooner, other, later, sooner]]);
    const entry: Entry = { ...sooner, expiresAt: later.expiresAt, createdAt: CREATED_AT };
    expect(told).to.deep.equal([
      [
        { outcome: "created", entry },
        { outcome: "created", entry: { ...other, createdAt: CREATED_AT } },
        { outcome: "already-blacklisted", entry },
        { outcome: "already-blacklisted", entry },
      ],
    ]);
  });

  it("leave the table as it would be after writing them one by one", async () => {
    await fc.assert(
      fc.asyncProperty(someTable, someRequests, async (table, requests) => {
        const together = await commitTogether(table, requests);
        expect([...together.table].sort()).to.deep.equal([...commitInTurn(table, requests).table].sort());
      }),
    );
  });

  it("have exactly the results of writing them one by one, for jtis that were absent", async () => {
    await fc.assert(
      fc.asyncProperty(someRequests, async (requests) => {
        const together = await commitTogether([], requests);
        expect(together.told).to.deep.equal(commitInTurn([], requests).told);
      }),
    );
  });

  it("create an absent jti exactly once, and extend a present one at most once", async () => {
    await fc.assert(
      fc.asyncProperty(someTable, someRequests, async (table, requests) => {
        const { told } = await commitTogether(table, requests);
        const before = new Map<string, Entry>(table.map((entry) => [entry.key, entry]));
        const results = told.flat();
        for (const key of new Set(requests.flat().map((entry) => entry.key))) {
          const mine = results.filter(({ entry }) => entry.key === key);
          const stored = before.get(key);
          const latest = Math.max(
            ...requests.flat().flatMap((entry) => (entry.key === key ? [entry.expiresAt] : [])),
          );
          const count = (outcome: string) => mine.filter((result) => result.outcome === outcome).length;
          expect(count("created")).to.equal(stored === undefined ? 1 : 0);
          if (stored !== undefined) expect(count("extended")).to.equal(latest > stored.expiresAt ? 1 : 0);
        }
      }),
    );
  });

  it("have results, in the order of each request, with entries that last as long as requested and never shrink", async () => {
    await fc.assert(
      fc.asyncProperty(someTable, someRequests, async (table, requests) => {
        const { told } = await commitTogether(table, requests);
        const lasting = new Map<string, number>(table.map(({ key, expiresAt }) => [key, expiresAt]));
        expect(told.map((results) => results.map(({ entry }) => entry.key))).to.deep.equal(
          requests.map((entries) => entries.map(({ key }) => key)),
        );
        for (const [index, results] of told.entries()) {
          for (const [position, { entry }] of results.entries()) {
            const request = requests[index]?.[position] as NewEntry;
            expect(entry.expiresAt).to.be.at.least(Math.max(request.expiresAt, lasting.get(entry.key) ?? 0));
            lasting.set(entry.key, entry.expiresAt);
          }
        }
      }),
    );
  });

  it("have no results for an entry that the store has not returned", () => {
    expect(() => new SplitResults([]).next([newEntry("a")])).to.throw(
      "the store returned no result for an entry",
    );
  });
});
