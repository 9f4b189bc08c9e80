import { expect } from "chai";
import type { Knex } from "knex";
import { MAX_UNCONFIRMED_COMMITS } from "../../../src/blacklist/acknowledged-commits.ts";
import { SCAN_PAGE, TAIL_PAGE } from "../../../src/limits.ts";
import type { Revision } from "../../../src/revision.ts";
import type { Changes, Store, Tail, TailEntry, TailPosition } from "../../../src/store/store.ts";
import { reasonOf } from "../../support/rejection.ts";
import { at, entry, expiryContext, HOUR, jti, type OpenStores, type TestStore } from "../open-test-store.ts";

export function describeTail({ open }: OpenStores): void {
  describe("openTail", () => {
    const START = new Uint8Array();
    const BEGINNING: TailPosition = { revision: 0, key: START };
    const afterEntry = (revision: number, key = ""): TailPosition => ({
      revision,
      key: Buffer.from(key),
    });
    const namesOf = (entries: readonly TailEntry[]) => entries.map((one) => Buffer.from(one.key).toString());
    const next = ({ next: { revision, key } }: Changes) => [revision, Buffer.from(key).toString()];
    const numbered = (prefix: string, count: number) =>
      Array.from({ length: count }, (_, index) => `${prefix}${String(index).padStart(4, "0")}`);
    const create = (store: Store, names: readonly string[], expiresAt?: number) =>
      store.write(
        names.map((name) => entry(name, expiresAt === undefined ? {} : { expiresAt: at(expiresAt) })),
        expiryContext(),
      );

    /** Rows that no caller could have stored, with jtis that are not text. All of revision 1. */
    async function insertBytes({ engine }: TestStore, jtis: readonly Buffer[]): Promise<void> {
      for (let from = 0; from < jtis.length; from += 500) {
        await engine.knex("blacklisted_tokens").insert(
          jtis.slice(from, from + 500).map((bytes) => ({
            jti: bytes,
            expires_at: Date.now() + HOUR,
            created_at: null,
            reason: Buffer.alloc(0),
            revoked_by: Buffer.alloc(0),
            revision: 1,
            created_revision: 1,
          })),
        );
      }
    }

    /** All entries of the table, read page by page. */
    async function scanAll(tail: Tail, between = async () => {}): Promise<TailEntry[][]> {
      const pages: TailEntry[][] = [];
      for (let last: Uint8Array = START; ; ) {
        const page = await tail.scan(last);
        pages.push([...page.entries]);
        if (!page.hasMore) return pages;
        last = page.entries.at(-1)?.key ?? last;
        await between();
      }
    }

    it("returns the changes after a position, by revision and jti, and the next position", async () => {
      const { store } = await open();
      const expiresAt = Date.now() + HOUR;
      const { revision: first } = await create(store, ["b", "a"], expiresAt);
      const { revision } = await create(store, ["aa"], expiresAt + 1);
      const tail = store.openTail();
      const { entries, clock, next: position, ...rest } = await tail.changes(BEGINNING, undefined);
      expect(entries.map((one) => [Buffer.from(one.key).toString(), one.expiresAt])).to.deep.equal([
        ["a", expiresAt],
        ["b", expiresAt],
        ["aa", expiresAt + 1],
      ]);
      expect(rest).to.deep.equal({ revision, writable: true, intact: true, hasMore: false });
      expect(clock).to.be.within(Date.now() - 1000, Date.now() + 1000);
      expect([position.revision, position.key.length]).to.deep.equal([revision.number + 1, 0]);

      const found = async (from: TailPosition) => namesOf((await tail.changes(from, revision)).entries);
      expect([
        await found(afterEntry(first.number, "a")),
        // For any bytes.
        await found({ revision: first.number, key: Uint8Array.from([0x61]) }),
        await found(afterEntry(first.number, "b")),
        await found(afterEntry(revision.number)),
        await found(afterEntry(revision.number, "aa")),
        await found(position),
        await found({ revision: Number.MAX_SAFE_INTEGER, key: START }),
      ]).to.deep.equal([["b", "aa"], ["b", "aa"], ["aa"], ["aa"], [], [], []]);
    });

    it("returns the state of the database without changes, even if it is empty", async () => {
      const { store } = await open();
      const tail = store.openTail();
      const empty = await tail.changes(BEGINNING, undefined);
      expect([empty.revision.number, empty.entries, empty.hasMore, next(empty)]).to.deep.equal([
        ...[0, [], false],
        [1, ""],
      ]);
      expect(empty.revision.stamp).to.match(/^[0-9a-f]{16}$/);
      await create(store, ["a"]);
      const { next: position } = await tail.changes(empty.next, empty.revision);
      const quiet = await tail.changes(position, undefined);
      expect([quiet.revision, quiet.entries, next(quiet)]).to.deep.equal([
        (await store.read([])).revision,
        [],
        [2, ""],
      ]);
    });

    it("splits many changes into pages, in order and each entry once, even within a commit", async () => {
      const { store } = await open();
      const [first, second, third] = [numbered("a", 2000), numbered("b", 1000), numbered("c", 1)];
      await create(store, second);
      await create(store, first);
      const { revision } = await create(store, third);
      const tail = store.openTail();
      const page = await tail.changes(BEGINNING, undefined);
      const rest = await tail.changes(page.next, page.revision);
      const expected = [...second, ...first, ...third];
      expect([namesOf(page.entries), page.hasMore, page.revision, next(page)]).to.deep.equal([
        expected.slice(0, TAIL_PAGE),
        true,
        revision,
        [2, expected[TAIL_PAGE - 1]],
      ]);
      expect([namesOf(rest.entries), rest.hasMore, rest.intact, next(rest)]).to.deep.equal([
        expected.slice(TAIL_PAGE),
        false,
        true,
        [4, ""],
      ]);
    });

    it("does not treat a page that is exactly full as the last one", async () => {
      const { store } = await open();
      await create(store, numbered("a", 2000));
      await create(store, numbered("b", TAIL_PAGE - 2000));
      const tail = store.openTail();
      const full = await tail.changes(BEGINNING, undefined);
      const last = await tail.changes(full.next, full.revision);
      expect([full.entries.length, full.hasMore, last.entries, last.hasMore, next(last)]).to.deep.equal([
        ...[TAIL_PAGE, true, [], false],
        [3, ""],
      ]);
    });

    it("returns an extended or replaced entry again, but not an unchanged repetition", async () => {
      const { store } = await open();
      const dead = Date.now() - 10 * HOUR;
      const expiresAt = Date.now() + HOUR;
      await create(store, ["extended", "repeated"], expiresAt);
      await store.write([entry("replaced", { expiresAt: at(dead) })], expiryContext(dead));
      const tail = store.openTail();
      const before = await tail.changes(BEGINNING, undefined);
      await create(store, ["extended", "replaced"], expiresAt + HOUR);
      const { revision } = await create(store, ["repeated"], expiresAt - 1);
      const changes = await tail.changes(before.next, before.revision);
      expect([
        changes.entries.map((one) => [Buffer.from(one.key).toString(), one.expiresAt]),
        changes.revision,
      ]).to.deep.equal([
        [
          ["extended", expiresAt + HOUR],
          ["replaced", expiresAt + HOUR],
        ],
        revision,
      ]);
    });

    it("returns an entry again, and misses none, when it changes between two pages", async () => {
      const { store } = await open();
      const names = numbered("a", 2000).concat(numbered("b", 1000));
      const later = Date.now() + 9 * HOUR;
      await create(store, names.slice(0, 2000));
      await create(store, names.slice(2000));
      const tail = store.openTail();
      const page = await tail.changes(BEGINNING, undefined);
      // One that has been read, one that has not.
      await create(store, ["a0007", "b0900"], later);
      const rest = await tail.changes(page.next, page.revision);
      expect([page.hasMore, rest.hasMore, rest.revision.number]).to.deep.equal([true, false, 3]);
      expect(
        rest.entries.filter((one) => one.expiresAt === later).map((one) => namesOf([one])[0]),
      ).to.deep.equal(["a0007", "b0900"]);
      expect(namesOf([...page.entries, ...rest.entries]).sort()).to.deep.equal([...names, "a0007"].sort());
    });

    it("includes every commit that was acknowledged before the read", async () => {
      const { store } = await open();
      const [tail, other] = [store.openTail(), store.openTail()];
      let position = BEGINNING;
      for (let round = 0; round < 100; round++) {
        const { revision } = await create(store, [`t${round}`]);
        const changes = await (round % 2 === 0 ? tail : other).changes(position, undefined);
        expect([changes.revision, namesOf(changes.entries)]).to.deep.equal([revision, [`t${round}`]]);
        position = changes.next;
      }
    });

    it("returns whether a revision is of this database's history", async () => {
      const { store } = await open();
      const { revision: zero } = await store.read([]);
      const { revision: first } = await create(store, ["a"]);
      const { revision: last } = await create(store, ["b"]);
      const tail = store.openTail();
      const seen = {
        none: undefined,
        zero,
        first,
        last,
        otherStamp: { ...last, stamp: "0123456789abcdef" },
        stampOfAnother: { ...last, stamp: first.stamp },
        ahead: { ...last, number: last.number + 1 },
      };
      const intact: Record<string, boolean> = {};
      for (const [name, revision] of Object.entries(seen)) {
        intact[name] = (await tail.changes(BEGINNING, revision)).intact;
      }
      expect(intact).to.deep.equal({
        ...{ none: true, zero: true, first: true, last: true },
        ...{ otherStamp: false, stampOfAnother: false, ahead: false },
      });
    });

    it("has the same results after reads without changes, which make it use a shorter query", async () => {
      const { store } = await open();
      const { revision: first } = await create(store, ["a"]);
      const { revision: last } = await create(store, ["b"]);
      const tail = store.openTail();
      const { next: position } = await tail.changes(BEGINNING, undefined);
      const seen = {
        last,
        first,
        otherStamp: { ...last, stamp: first.stamp },
        ahead: { ...last, number: 3 },
      };
      const intact: Record<string, unknown> = {};
      for (const round of [1, 2, 3]) {
        for (const [name, revision] of Object.entries(seen)) {
          const quiet = await tail.changes(position, revision);
          intact[`${name} ${round}`] = [quiet.intact, quiet.writable, quiet.entries.length, quiet.revision];
          expect(next(quiet)).to.deep.equal([3, ""]);
        }
      }
      expect(intact).to.deep.equal(
        Object.fromEntries(
          [1, 2, 3].flatMap((round) =>
            Object.keys(seen).map((name) => [
              `${name} ${round}`,
              [name === "last" || name === "first", true, 0, last],
            ]),
          ),
        ),
      );
      const found: string[][] = [];
      for (let from = position, round = 0; round < 4; round++) {
        if (round % 2 === 0) await create(store, [`c${round}`, "a"], Date.now() + (round + 2) * HOUR);
        const changes = await tail.changes(from, last);
        found.push(namesOf(changes.entries));
        from = changes.next;
      }
      expect(found).to.deep.equal([["a", "c0"], [], ["a", "c2"], []]);
    });

    it("returns whether other commits are of its history, before the position or after it, up to the maximum", async () => {
      const { store } = await open();
      const commits = [(await store.read([])).revision];
      for (let count = 0; count < MAX_UNCONFIRMED_COMMITS + 2; count++) {
        commits.push((await create(store, ["a"], Date.now() + (count + 2) * HOUR)).revision);
      }
      const tail = store.openTail();
      const [middle, last] = [commits[30] as Revision, commits.at(-1) as Revision];
      const forged = { number: 40, stamp: last.stamp };
      const ahead = { number: last.number + 1, stamp: last.stamp };
      const wrong: string[] = [];
      for (const { number } of [last, middle]) {
        const from = { revision: number + 1, key: START };
        const seen = commits[number] as Revision;
        for (const count of [0, 1, 2, 3, 7, 8, 9, commits.length]) {
          const others = commits
            .slice(0, count)
            .filter((one) => one.number !== forged.number && one !== seen);
          const named = {
            "all there": { required: others, expected: true },
            "the last seen among them": { required: [...others, seen], expected: true },
            "with another stamp": { required: [...others.slice(1), forged], expected: false },
            "ahead of all": { required: [...others.slice(1), ahead], expected: false },
          };
          for (const [what, { required, expected }] of Object.entries(named)) {
            // The last position read is the one that makes a read short without other requirements.
            for (const after of [seen, undefined]) {
              const { intact } = await tail.changes(from, after, required);
              if (intact !== expected) wrong.push(`${what}: ${count} after ${after?.number}`);
            }
          }
        }
      }
      expect(wrong).to.deep.equal([]);
    });

    it("treats jtis as bytes, in the order of bytes, for any bytes", async () => {
      const test = await open();
      await create(test.store, ["to have a revision 1"]);
      await test.engine.knex("blacklisted_tokens").delete();
      const bytes = Array.from({ length: 255 }, (_, index) => index + 1);
      const jtis = [
        ...bytes.map((one) => [one]),
        ...bytes.map((one) => [0x61, one]),
        [0xff, 0xff],
        [0x61, 1, 1],
      ];
      const sorted = jtis.map((one) => Buffer.from(one)).sort(Buffer.compare);
      await insertBytes(test, [...sorted].reverse());
      const tail = test.store.openTail();
      const hexOf = (entries: readonly TailEntry[]) =>
        entries.map((one) => Buffer.from(one.key).toString("hex"));
      const expected = sorted.map((one) => one.toString("hex"));
      expect([
        hexOf((await tail.changes(BEGINNING, undefined)).entries),
        hexOf((await tail.scan(START)).entries),
      ]).to.deep.equal([expected, expected]);
      for (let index = 0; index < sorted.length; index += 7) {
        const key = sorted[index] as Buffer;
        expect([
          hexOf((await tail.changes({ revision: 1, key }, undefined)).entries),
          hexOf((await tail.scan(key)).entries),
        ]).to.deep.equal([expected.slice(index + 1), expected.slice(index + 1)]);
      }
    });

    it("scans every entry exactly once, in pages, the longest and expired ones included", async () => {
      const test = await open();
      const long = numbered("", 2100).map((name) => `${"é".repeat(120)}${name}`.padEnd(135, "x"));
      const names = [...long, ...numbered("short", 2000), "\u0001", "\u{10FFFF}"];
      expect(Buffer.byteLength(long[0] as string)).to.equal(255);
      const expected = names.map((name) => Buffer.from(name)).sort(Buffer.compare);
      await insertBytes(test, expected);
      await test.engine
        .knex("blacklisted_tokens")
        .where("jti", Buffer.from("short0000"))
        .update({ expires_at: 1 });
      const pages = await scanAll(test.store.openTail());
      expect(pages.map(({ length }) => length)).to.deep.equal([
        SCAN_PAGE,
        SCAN_PAGE,
        names.length - 2 * SCAN_PAGE,
      ]);
      expect(pages.flat().map(({ key }) => Buffer.from(key))).to.deep.equal(expected);
      expect(pages.flat().find(({ key }) => Buffer.from(key).toString() === "short0000")?.expiresAt).to.equal(
        1,
      );
    });

    it("scans an empty table, and a table whose last page is exactly full", async () => {
      const test = await open();
      const tail = test.store.openTail();
      const empty = await scanAll(tail);
      await insertBytes(
        test,
        numbered("a", SCAN_PAGE).map((name) => Buffer.from(name)),
      );
      const full = await scanAll(tail);
      expect([empty, full.map(({ length }) => length)]).to.deep.equal([[[]], [SCAN_PAGE, 0]]);
    });

    it("returns all entries by a scan followed by a read of the changes since before it", async () => {
      const test = await open();
      const { store } = test;
      await create(store, ["before"]);
      await insertBytes(
        test,
        numbered("m", 2 * SCAN_PAGE).map((name) => Buffer.from(name)),
      );
      const tail = store.openTail();
      const { next: position, revision } = await tail.changes(
        { revision: Number.MAX_SAFE_INTEGER, key: START },
        undefined,
      );
      const later = Date.now() + 9 * HOUR;
      let round = 0;
      const pages = await scanAll(tail, async () => {
        round++;
        // Before the scanned position, after it, and a scanned entry.
        await create(store, [`a${round}`, `z${round}`, "before"], later + round);
      });
      const { entries, hasMore, intact } = await tail.changes(position, revision);
      const expiries = new Map(
        [...pages.flat(), ...entries].map((one) => [Buffer.from(one.key).toString(), one.expiresAt]),
      );
      expect([round, hasMore, intact, expiries.size]).to.deep.equal([2, false, true, 2 * SCAN_PAGE + 5]);
      expect(["a1", "z1", "a2", "z2", "before"].map((name) => expiries.get(name))).to.deep.equal(
        [1, 1, 2, 2, 2].map((rounds) => later + rounds),
      );
    });

    it("closes separately or with its store, and then fails as unavailable", async () => {
      const { store } = await open();
      await create(store, ["a"]);
      const [closed, other] = [store.openTail(), store.openTail()];
      await Promise.all([closed, other].map((tail) => tail.changes(BEGINNING, undefined)));
      closed.close();
      closed.close();
      expect([
        await reasonOf(closed.changes(BEGINNING, undefined)),
        await reasonOf(closed.scan(START)),
        namesOf((await other.changes(BEGINNING, undefined)).entries),
        (await store.read([jti("a")])).found.size,
      ]).to.deep.equal(["STORE_UNAVAILABLE", "STORE_UNAVAILABLE", ["a"], 1]);
      await store.close();
      expect([
        await reasonOf(other.changes(BEGINNING, undefined)),
        await reasonOf(other.scan(START)),
      ]).to.deep.equal(Array(2).fill("STORE_UNAVAILABLE"));
    });

    it("does not connect once its store is closed", async () => {
      const { store } = await open();
      const unused = store.openTail();
      await store.close();
      expect(await reasonOf(unused.changes(BEGINNING, undefined))).to.equal("STORE_UNAVAILABLE");
      const tail = store.openTail();
      try {
        expect(await reasonOf(tail.changes(BEGINNING, undefined))).to.equal("STORE_UNAVAILABLE");
      } finally {
        tail.close();
      }
    });

    type Ask = (tail: Tail, first: Changes) => Promise<unknown>;
    const asks: Record<string, Ask> = {
      changes: (tail) => tail.changes(BEGINNING, undefined),
      "changes after an empty read": (tail, { next: position, revision }) => tail.changes(position, revision),
      scan: (tail) => tail.scan(START),
    };
    const losses: Record<string, (knex: Knex) => PromiseLike<unknown>> = {
      "a replacement by another database": (knex) =>
        knex("blacklist_state").update({ generation: Buffer.alloc(16) }),
      "the loss of the state row": (knex) => knex("blacklist_state").delete(),
    };
    for (const [read, ask] of Object.entries(asks)) {
      for (const [loss, lose] of Object.entries(losses)) {
        it(`fails after ${loss} (${read})`, async () => {
          const { store, engine } = await open();
          await create(store, ["a"]);
          const tail = store.openTail();
          const first = await tail.changes(BEGINNING, undefined);
          await tail.changes(first.next, first.revision);
          await lose(engine.knex);
          expect(await reasonOf(ask(tail, first))).to.equal("STORE_UNAVAILABLE");
        });
      }
    }
  });
}
