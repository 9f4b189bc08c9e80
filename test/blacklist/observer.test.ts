import { expect } from "chai";
import { AcknowledgedCommits } from "../../src/blacklist/acknowledged-commits.ts";
import { ChangeLog } from "../../src/blacklist/change-log.ts";
import { CoalescedChecks } from "../../src/blacklist/coalesced-checks.ts";
import { COUNTED_ENTRIES } from "../../src/blacklist/entry-index.ts";
import { FAILED_READ_PAUSE_MS, Follower } from "../../src/blacklist/follower.ts";
import { IndexedChecks } from "../../src/blacklist/indexed-checks.ts";
import type { Observer } from "../../src/blacklist/observer.ts";
import { WatchHub } from "../../src/blacklist/watch-hub.ts";
import { Writer } from "../../src/blacklist/writer.ts";
import { UNRESTRICTED_PRINCIPAL } from "../../src/caller.ts";
import type { EpochMs, Jti } from "../../src/entry.ts";
import { storeUnavailable } from "../../src/errors.ts";
import { ClockBounds } from "../../src/time/clock-bounds.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { type Held, HeldStore, turn } from "../support/held-store.ts";
import { memoryLog } from "../support/memory-log.ts";
import { newEntry } from "../support/new-entry.ts";
import { rejection } from "../support/rejection.ts";

const HERE = { isGone: false };
const LEEWAY = 60_000;
const FRESH = { kind: "linearizable" } as const;
const AWAY = storeUnavailable("away");
const named = (...jtis: string[]) => jtis.map((jti) => newEntry(jti));

/** The arguments of a call to the observer, with lists replaced by their lengths. */
function counted(what: unknown): unknown {
  const { participants, ...rest } = Object(what) as { participants?: readonly unknown[] };
  return participants === undefined ? what : { ...rest, participants: participants.length };
}

describe("an observer of the domain", () => {
  let clock: FakeClock;
  let store: HeldStore;
  let follower: Follower;
  let writer: Writer;
  let checks: IndexedChecks;
  let fromDatabase: CoalescedChecks;
  /** The calls to the observer, in order. */
  let told: [keyof Observer, unknown][];
  let phases: string[];
  let changeLog: ChangeLog;
  let common: ConstructorParameters<typeof CoalescedChecks>[0] & { clockBounds: ClockBounds };

  beforeEach(() => {
    clock = new FakeClock();
    store = new HeldStore({ clock });
    told = [];
    phases = [];
    const observer = Object.fromEntries(
      ["committed", "followed", "lookedUp", "fellBack", "pruned", "pruneEnded", "startedOver"].map((name) => [
        name,
        (what: unknown) => told.push([name as keyof Observer, counted(what)]),
      ]),
    ) as unknown as Observer;
    const clockBounds = new ClockBounds(clock);
    const { log } = memoryLog();
    const acknowledged = new AcknowledgedCommits(store);
    common = { store, acknowledged, clock, clockBounds, leewayMs: LEEWAY, observer };
    changeLog = new ChangeLog();
    writer = new Writer({ ...common, onCommit() {} });
    fromDatabase = new CoalescedChecks(common);
    follower = new Follower({
      ...common,
      log,
      changeLog,
      maxEntries: 1_000_000,
      onPhase: () => phases.push(follower.phase),
    });
    checks = new IndexedChecks({ ...common, follower, fallback: fromDatabase });
  });

  async function load(): Promise<void> {
    store.holding = false;
    follower.start();
    while (follower.phase === "loading") await turn();
    store.holding = true;
    store.changes.splice(0);
  }

  /** The read of changes with this number, once it has begun. */
  async function read(number: number): Promise<Held<unknown>> {
    while (store.changes.length <= number) await turn();
    return store.changes[number] as Held<unknown>;
  }

  const check = async (text: string) => checks.check([text as Jti], FRESH, HERE);

  it("is told of each commit: its requests, the outcomes of the entries, its duration", async () => {
    const first = writer.write(named("a"), HERE);
    const others = [writer.write(named("a", "b"), HERE), writer.write(named("c"), HERE)];
    clock.advance(20);
    await store.writes[0]?.release();
    clock.advance(30);
    await store.writes[1]?.release();
    await Promise.all([first, ...others]);
    const shown = told.map(([name, what]) => {
      const { results, ...rest } = what as Parameters<Observer["committed"]>[0];
      return [name, { ...rest, outcomes: results?.map(({ outcome }) => outcome) }];
    });
    expect(shown).to.deep.equal([
      ["committed", { participants: 1, milliseconds: 20, outcomes: ["created"] }],
      ["committed", { participants: 2, milliseconds: 30, outcomes: ["unchanged", "created", "created"] }],
    ]);
  });

  it("is told of a failed commit", async () => {
    const failed = rejection(writer.write(named("a"), HERE));
    await store.writes[0]?.fail(AWAY);
    await failed;
    expect(told).to.deep.equal([["committed", { participants: 1, results: undefined, milliseconds: 0 }]]);
  });

  it("is told of each read of the changes: its requests, its duration, its result", async () => {
    await load();
    const asked = [check("a"), check("b")];
    const first = await read(0);
    clock.advance(3);
    await first.release();
    await Promise.all(asked);

    store.writable = false;
    const unproven = rejection(check("a"));
    await (await read(1)).release();
    await unproven;
    store.writable = true;

    const failed = rejection(check("a"));
    await (await read(2)).fail(AWAY);
    await failed;
    clock.advance(FAILED_READ_PAUSE_MS);

    store.page = 2;
    store.commit(...named("c", "d", "e"));
    const behind = check("a");
    await (await read(3)).release();
    await (await read(4)).release();
    await behind;

    store.restore(0);
    const lost = rejection(check("a"));
    await (await read(5)).release();
    await lost;
    const alone = { participants: 1, milliseconds: 0 };
    expect(told).to.deep.equal([
      ["followed", { end: "proven", participants: 2, milliseconds: 3 }],
      ["followed", { ...alone, end: "read-only" }],
      ["followed", { ...alone, end: "failed" }],
      ["followed", { ...alone, end: "more" }],
      ["followed", { ...alone, end: "proven" }],
      ["followed", { ...alone, end: "lost" }],
    ]);
    expect(phases).to.deep.equal(["following", "rebuilding"]);
  });

  it("is told of reads of single jtis, and why checks fell back on them", async () => {
    const early = check("a");
    await store.reads[0]?.release();
    await early;
    await load();
    const revision = { number: 0, stamp: "f".repeat(16) };
    const asked = rejection(
      Promise.resolve(checks.check(["a" as Jti], { kind: "at-least", revision }, HERE)),
    );
    await (await read(store.changes.length)).release();
    clock.advance(7);
    await store.reads[1]?.fail(AWAY);
    await asked;
    expect(told).to.deep.equal([
      ["fellBack", "no-index"],
      ["lookedUp", { participants: 1, succeeded: true, milliseconds: 0 }],
      ["followed", { end: "proven", participants: 1, milliseconds: 0 }],
      ["fellBack", "unknown-revision"],
      ["lookedUp", { participants: 1, succeeded: false, milliseconds: 7 }],
    ]);
  });

  it("can read by how many commits the index lags, and that this is unknown while the index has no proof", async () => {
    expect(follower.lag).to.equal(Number.POSITIVE_INFINITY);
    await load();
    expect(follower.lag).to.equal(0);
    store.page = 2;
    for (const name of ["a", "b", "c"]) store.commit(newEntry(name));
    const behind = check("x");
    await (await read(0)).release();
    expect(follower.lag).to.equal(3);
    await (await read(1)).release();
    await behind;
    expect(follower.lag).to.equal(0);
  });

  it("can read the lag of copies, and is told of one that starts over because its log position is gone", async () => {
    await load();
    store.holding = false;
    const watchHub = new WatchHub({ ...common, follower, changeLog });
    const copy = await watchHub.open(undefined, { isGone: false, principal: UNRESTRICTED_PRINCIPAL });
    const sent = () => {
      const kinds: string[] = [];
      for (let next = copy.next(); next !== undefined; next = copy.next()) kinds.push(next.kind);
      return kinds;
    };
    expect(copy.next()).to.deep.include({ kind: "opened", isSnapshot: true });
    expect(watchHub.snapshots).to.deep.equal({ inFlight: 0, waiting: 0 });
    expect(sent()).to.deep.equal(["part"]);
    for (const name of ["a", "b"]) {
      store.commit(newEntry(name));
      await follower.databaseState();
    }
    expect({ size: watchHub.size, lag: watchHub.lag }).to.deep.equal({ size: 1, lag: 2 });
    // The changes that a copy lacks are sent as one.
    expect(sent()).to.deep.equal(["change"]);
    expect(watchHub.lag).to.equal(0);

    store.restore(0);
    await rejection(follower.databaseState());
    while (follower.phase !== "following") await turn();
    expect(sent()).to.deep.equal(["opened", "part"]);
    expect(told.filter(([name]) => name === "startedOver")).to.have.length(1);
    copy.close();
    expect({ size: watchHub.size, lag: watchHub.lag }).to.deep.equal({ size: 0, lag: 0 });
  });

  it("can read the number of unexpired entries: exactly if small, within a percent if large", async () => {
    const over = (clock.now() + 1000) as EpochMs;
    const entries = (count: number, prefix: string, expiresAt?: EpochMs) =>
      Array.from({ length: count }, (_, index) =>
        newEntry(`${prefix}-${index}`, expiresAt === undefined ? {} : { expiresAt }),
      );
    store.commit(...entries(30, "live"), ...entries(10, "over", over));
    await load();
    expect({ size: follower.entries.size, live: follower.entries.countLive() }).to.deep.equal({
      size: 40,
      live: 40,
    });
    clock.advance(LEEWAY + 2000);
    expect({ size: follower.entries.size, live: follower.entries.countLive() }).to.deep.equal({
      size: 40,
      live: 30,
    });

    const many = 2 * COUNTED_ENTRIES;
    const soon = (clock.now() + 1000) as EpochMs;
    store.commit(...entries(many, "later"), ...entries(many / 4, "soon", soon));
    store.holding = false;
    await check("x");
    clock.advance(LEEWAY + 2000);
    // All but those that were swept meanwhile.
    expect(follower.entries.size).to.be.above(many * 1.2);
    expect(follower.entries.countLive() / (30 + many)).to.be.within(0.985, 1.015);
  });
});
