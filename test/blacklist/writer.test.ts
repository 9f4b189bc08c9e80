import { expect } from "chai";
import { MAX_COMMIT_BYTES, MAX_COMMIT_ROWS, MAX_QUEUED_TOKENS, Writer } from "../../src/blacklist/writer.ts";
import type { NewEntry } from "../../src/entry.ts";
import { storeUnavailable } from "../../src/errors.ts";
import type { CommitResult } from "../../src/store/store.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { HeldStore, turn } from "../support/held-store.ts";
import { newEntries, newEntry } from "../support/new-entry.ts";
import { reasonOf, rejection } from "../support/rejection.ts";

const HERE = { isGone: false };

describe("Writer", () => {
  let clock: FakeClock;
  let store: HeldStore;
  let writer: Writer;
  /** The writer's work before it resolves its requests. */
  let onCommit: (receipt: CommitResult) => void | Promise<void>;

  beforeEach(() => {
    clock = new FakeClock();
    store = new HeldStore({ clock });
    onCommit = () => {};
    writer = new Writer({ store, onCommit: (receipt) => onCommit(receipt), clock, leewayMs: 1000 });
  });

  /** The sizes of all commits that have begun. */
  const sizes = () => store.writes.map(({ input }) => input.length);
  /** The jtis of the last commit that has begun. */
  const lastJtis = () => store.writes.at(-1)?.input.map(({ key }) => key);
  const release = () => store.writes.at(-1)?.release();
  const write = (...entries: NewEntry[]) => writer.write(entries, HERE);

  /** Releases one commit after the other until none is left. */
  async function releaseAll(): Promise<void> {
    for (let next = 0; next < store.writes.length; next++) await store.writes[next]?.release();
  }

  it("resolves once the commit has ended, with the stored tokens and its revision", async () => {
    const written = write(newEntry("a", { reason: "stolen" }));
    let answered = false;
    void written.then(() => {
      answered = true;
    });
    await turn();
    expect(answered).to.equal(false);
    await release();
    expect(await written).to.deep.equal({
      results: [
        { outcome: "created", entry: { ...newEntry("a", { reason: "stolen" }), createdAt: clock.now() } },
      ],
      revision: store.revision,
    });
  });

  it("resolves no request before the commit has been acknowledged to the index, and begins no other commit until then", async () => {
    const happened: string[] = [];
    let goOn = () => {};
    onCommit = ({ revision, results }) => {
      happened.push(`commit ${revision.number} of ${results.map(({ entry }) => entry.key)}`);
      return new Promise((resolve) => {
        goOn = resolve;
      });
    };
    const written = [write(newEntry("a")), write(newEntry("b"))];
    for (const one of written) void one.then(() => happened.push("told"));
    await release();
    expect([happened, sizes()]).to.deep.equal([["commit 1 of a"], [1]]);
    goOn();
    await turn();
    expect([happened, sizes()]).to.deep.equal([
      ["commit 1 of a", "told"],
      [1, 1],
    ]);
  });

  it("fails all requests of a commit with an unknown outcome when that acknowledgement fails, and does not retry", async () => {
    void write(newEntry("first"));
    const answers = [reasonOf(write(newEntry("a"))), reasonOf(write(newEntry("b")))];
    await release();
    onCommit = () => Promise.reject(storeUnavailable("not found again"));
    await release();
    expect([await Promise.all(answers), sizes()]).to.deep.equal([
      ["STORE_UNAVAILABLE", "STORE_UNAVAILABLE"],
      [1, 2],
    ]);
  });

  it("has one commit in flight, and coalesces the requests that arrive meanwhile into the next", async () => {
    const first = write(newEntry("a"));
    const others = [write(newEntry("b")), write(newEntry("c"), newEntry("a")), write(newEntry("b"))];
    await turn();
    expect(sizes()).to.deep.equal([1]);
    await release();
    expect([sizes(), lastJtis()]).to.deep.equal([
      [1, 3],
      ["b", "c", "a"],
    ]);
    await release();
    const outcomes = (await Promise.all([first, ...others])).map(({ results, revision }) => [
      revision.number,
      ...results.map(({ outcome }) => outcome),
    ]);
    expect(outcomes).to.deep.equal([
      [1, "created"],
      [2, "created"],
      [2, "created", "already-blacklisted"],
      [2, "already-blacklisted"],
    ]);
  });

  it("adds no request to a commit in flight", async () => {
    void write(newEntry("a"));
    void write(newEntry("b"));
    await release();
    const late = write(newEntry("c"));
    expect(lastJtis()).to.deep.equal(["b"]);
    await release();
    expect(lastJtis()).to.deep.equal(["c"]);
    await release();
    expect((await late).revision.number).to.equal(3);
  });

  it("never exceeds the maximum of rows in one commit, and continues with the others", async () => {
    void write(newEntry("first"));
    for (const name of ["a", "b", "c", "d"]) void writer.write(newEntries(name, MAX_COMMIT_ROWS / 2), HERE);
    void write(newEntry("last"));
    await releaseAll();
    expect(sizes()).to.deep.equal([1, MAX_COMMIT_ROWS, MAX_COMMIT_ROWS, 1]);
  });

  it("never exceeds the maximum of bytes in one commit", async () => {
    void write(newEntry("first"));
    const reason = "r".repeat(MAX_COMMIT_BYTES / 3 / 10);
    for (let index = 0; index < 60; index++) void write(newEntry(`${index}`, { reason }));
    await releaseAll();
    const bytes = store.writes.map(({ input }) =>
      input.reduce((sum, entry) => sum + Buffer.byteLength(entry.key + entry.reason), 0),
    );
    expect(sizes().reduce((sum, size) => sum + size)).to.equal(61);
    expect(Math.max(...bytes)).to.be.at.most(MAX_COMMIT_BYTES);
  });

  it("writes a request that fills a commit alone", async () => {
    void write(newEntry("first"));
    void writer.write(newEntries("big", MAX_COMMIT_ROWS + 1), HERE);
    void write(newEntry("last"));
    await releaseAll();
    expect(sizes()).to.deep.equal([1, MAX_COMMIT_ROWS + 1, 1]);
  });

  it("passes the time at which the commit begins to the store", async () => {
    const expired = newEntry("a", { expiresAt: clock.now() });
    void write(expired);
    await release();
    void write(newEntry("b"));
    const again = write(expired);
    clock.advance(1000);
    await releaseAll();
    expect((await again).results[0]?.outcome).to.equal("created");
  });

  it("drops a request that is cancelled before its commit begins", async () => {
    void write(newEntry("first"));
    const caller = { isGone: false };
    const dropped = reasonOf(writer.write([newEntry("a")], caller));
    const kept = write(newEntry("b"));
    caller.isGone = true;
    await releaseAll();
    expect([await dropped, (await kept).results[0]?.outcome]).to.deep.equal(["CANCELLED", "created"]);
    expect([sizes(), [...store.table.keys()]]).to.deep.equal([
      [1, 1],
      ["first", "b"],
    ]);
  });

  it("begins no commit when every request is cancelled", async () => {
    void write(newEntry("first"));
    const gone = { isGone: true };
    const dropped = Promise.all([
      reasonOf(writer.write([newEntry("a")], gone)),
      reasonOf(writer.write([newEntry("b")], gone)),
    ]);
    await releaseAll();
    expect([await dropped, sizes()]).to.deep.equal([["CANCELLED", "CANCELLED"], [1]]);
  });

  it("finishes a commit whose request is cancelled in flight", async () => {
    const caller = { isGone: false };
    const written = writer.write([newEntry("a")], caller);
    caller.isGone = true;
    await release();
    expect([(await written).results[0]?.outcome, store.table.has("a")]).to.deep.equal(["created", true]);
  });

  it("refuses requests above the maximum of the queue, stores nothing of them, and accepts again once there is room", async () => {
    const first = write(newEntry("first"));
    const batch = 1000;
    const queued = Array.from({ length: MAX_QUEUED_TOKENS / batch }, (_, index) =>
      writer.write(newEntries(`q${index}`, batch), HERE),
    );
    expect(await reasonOf(write(newEntry("refused")))).to.equal("OVERLOADED");
    await release();
    const accepted = write(newEntry("accepted"));
    await releaseAll();
    await Promise.all([first, ...queued, accepted]);
    expect([store.table.has("refused"), store.table.has("accepted"), store.table.size]).to.deep.equal([
      false,
      true,
      MAX_QUEUED_TOKENS + 2,
    ]);
  });

  it("leaves room for other callers than the one with the most writes", async () => {
    const by = (name: string) => ({ isGone: false, principal: { name, roles: new Set<never>() } });
    const outcomes = Array.from({ length: MAX_QUEUED_TOKENS / 1000 }, (_, index) =>
      reasonOf(
        writer
          .write(newEntries(`g${index}`, 1000), by("greedy"))
          .then(() => Promise.reject({ reason: "OK" })),
      ),
    );
    const other = writer.write(newEntries("other", 1000), by("other"));
    await releaseAll();
    const reasons = await Promise.all(outcomes);
    expect(reasons.filter((reason) => reason === "OVERLOADED").length).to.be.within(4, 5);
    expect((await other).results).to.have.length(1000);
  });

  it("frees the room of cancelled requests", async () => {
    void write(newEntry("first"));
    const dropped = reasonOf(writer.write(newEntries("gone", MAX_QUEUED_TOKENS), { isGone: true }));
    const accepted = writer.write(newEntries("accepted", MAX_QUEUED_TOKENS), HERE);
    expect(await dropped).to.equal("CANCELLED");
    expect(await reasonOf(write(newEntry("refused")))).to.equal("OVERLOADED");
    await release();
    await release();
    expect((await accepted).results).to.have.length(MAX_QUEUED_TOKENS);
  });

  it("retries a group that failed because of one request one by one, and only that request fails", async () => {
    void write(newEntry("first"));
    const guilty = new Error("Data too long for column 'jti'");
    const answers = [
      write(newEntry("a")),
      rejection(write(newEntry("bad"))),
      write(newEntry("c"), newEntry("d")),
    ];
    await release();
    await store.writes.at(-1)?.fail(guilty);
    expect(lastJtis()).to.deep.equal(["a"]);
    await release();
    expect(lastJtis()).to.deep.equal(["bad"]);
    await store.writes.at(-1)?.fail(guilty);
    expect(lastJtis()).to.deep.equal(["c", "d"]);
    await release();
    const [a, bad, c] = await Promise.all(answers);
    expect([a, c].map((written) => (written as { results: unknown[] }).results.length)).to.deep.equal([1, 2]);
    expect([bad, [...store.table.keys()]]).to.deep.equal([guilty, ["first", "a", "c", "d"]]);
  });

  it("does not retry a group when the database was unavailable: its outcome is unknown, and all requests are told so", async () => {
    void write(newEntry("first"));
    const answers = [reasonOf(write(newEntry("a"))), reasonOf(write(newEntry("b")))];
    await release();
    await store.writes.at(-1)?.fail(storeUnavailable("away"));
    expect([await Promise.all(answers), sizes()]).to.deep.equal([
      ["STORE_UNAVAILABLE", "STORE_UNAVAILABLE"],
      [1, 2],
    ]);
  });

  it("continues with waiting requests after a failed commit", async () => {
    const failed = rejection(write(newEntry("a")));
    const waiting = write(newEntry("b"));
    await store.writes.at(-1)?.fail(new Error("why ever"));
    await release();
    expect([((await failed) as Error).message, (await waiting).results[0]?.outcome]).to.deep.equal([
      "why ever",
      "created",
    ]);
  });

  it("is settled when all accepted requests have been answered", async () => {
    const events: string[] = [];
    void write(newEntry("a")).then(() => events.push("first"));
    void write(newEntry("b")).then(() => events.push("second"));
    const settled = writer.settled().then(() => events.push("settled"));
    await turn();
    expect(events).to.deep.equal([]);
    await releaseAll();
    await settled;
    expect(events).to.deep.equal(["first", "second", "settled"]);
  });

  it("is settled at once when no request was accepted", async () => {
    await writer.settled();
  });
});
