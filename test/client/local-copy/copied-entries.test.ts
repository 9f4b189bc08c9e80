import { expect } from "chai";
import { CopiedEntries, MAX_RESUME_MS } from "../../../src/client/local-copy/copied-entries.ts";
import { COMMIT_RETENTION_MS, KEPT_STAMPS, SWEEP_INDEX_SEGMENTS } from "../../../src/limits.ts";
import { readClocks } from "../../../src/time/clock.ts";
import { TokenIndex } from "../../../src/token-index/token-index.ts";
import { FakeClock } from "../../support/fake-clock.ts";

const KEY = new Uint8Array(32).fill(1);
const OTHER_KEY = new Uint8Array(32).fill(2);
const HOUR = 3_600_000;

describe("CopiedEntries", () => {
  let clock: FakeClock;
  let copy: CopiedEntries;

  beforeEach(() => {
    clock = new FakeClock();
    copy = new CopiedEntries(clock);
  });

  function put(jti: string, until = clock.now() + HOUR, key = KEY): void {
    copy.put(new TokenIndex(key).fingerprintOf(jti), until);
  }

  /** A complete copy of this many jtis. */
  function snapshot(revision: string, jtis: readonly string[], key = KEY): void {
    copy.begin({ isSnapshot: true, fingerprintKey: key });
    for (const jti of jtis) put(jti, undefined, key);
    copy.recordRevision(revision);
  }

  it("contains the added jtis, as text or bytes, and no other", () => {
    snapshot("1-a", ["abc", "é"]);
    expect(["abc", "ABC", "abc ", "é", "e\u0301"].map((jti) => copy.isBlacklisted(jti))).to.deep.equal([
      true,
      false,
      false,
      true,
      false,
    ]);
  });

  it("is complete from the first revision on, and remains so during another snapshot", () => {
    const states: unknown[] = [];
    const note = () => states.push([copy.isComplete, copy.isLoading, copy.cursor?.revision]);
    note();
    copy.begin({ isSnapshot: true, fingerprintKey: KEY });
    note();
    put("a");
    note();
    copy.recordRevision("1-a");
    note();
    copy.begin({ isSnapshot: true, fingerprintKey: KEY });
    note();
    expect([states, copy.isBlacklisted("a")]).to.deep.equal([
      [
        [false, false, undefined],
        [false, true, undefined],
        [false, true, undefined],
        [true, false, "1-a"],
        [true, true, undefined],
      ],
      true,
    ]);
  });

  it("resumes from the last revision, with its key, after a disconnection", () => {
    snapshot("1-a", ["a"]);
    copy.begin({ isSnapshot: false, fingerprintKey: KEY });
    copy.recordRevision("2-b");
    expect(copy.cursor).to.deep.equal({ revision: "2-b", fingerprintKey: KEY });
  });

  it("starts over after so long without proof that a restored database could not be detected", () => {
    snapshot("1-a", ["a"]);
    copy.recordProof(readClocks(clock));
    clock.advance(MAX_RESUME_MS);
    const before = copy.cursor?.revision;
    clock.advance(1);
    expect([before, copy.cursor, MAX_RESUME_MS < COMMIT_RETENTION_MS]).to.deep.equal([
      "1-a",
      undefined,
      true,
    ]);
  });

  it("keeps its own copy of the key: the message's buffer is reused", () => {
    const key = Uint8Array.from(KEY);
    copy.begin({ isSnapshot: true, fingerprintKey: key });
    key.fill(9);
    copy.recordRevision("1-a");
    expect(copy.cursor?.fingerprintKey).to.deep.equal(KEY);
  });

  it("returns a positive until the entry is expired by this machine's clock and by the service's", () => {
    snapshot("1-a", []);
    const until = clock.now() + 1000;
    put("a", until);
    // The service's clock is 400 ms behind.
    copy.recordServiceTime(clock.now() - 400);
    const seen: boolean[] = [];
    for (const ms of [999, 1, 399, 1]) {
      clock.advance(ms);
      seen.push(copy.isBlacklisted("a"));
    }
    expect(seen).to.deep.equal([true, true, true, false]);
  });

  it("removes no entry early because the service's clock is ahead, or a wall clock was set forward", () => {
    snapshot("1-a", []);
    put("a", clock.now() + 1000);
    copy.recordServiceTime(clock.now() + HOUR);
    const ahead = copy.isBlacklisted("a");
    copy.recordServiceTime(clock.now());
    clock.jumpTo(clock.now() + HOUR);
    expect([ahead, copy.isBlacklisted("a")]).to.deep.equal([true, true]);
  });

  it("keeps the later expiry of an entry that is sent twice", () => {
    snapshot("1-a", []);
    put("a", clock.now() + 2000);
    put("a", clock.now() + 1000);
    clock.advance(1500);
    expect(copy.isBlacklisted("a")).to.equal(true);
  });

  it("has the age of the request of its last proof, by the clock that shows more; infinite without one", () => {
    snapshot("1-a", []);
    const before = copy.stalenessMs;
    copy.recordProof(readClocks(clock));
    clock.advance(250);
    const after = copy.stalenessMs;
    // A suspension: the monotonic clock stood still.
    clock.jumpTo(clock.now() + 5000);
    expect([before, after, copy.stalenessMs]).to.deep.equal([Number.POSITIVE_INFINITY, 250, 5250]);
  });

  it("returns a negative if its last proof is no older than requested, by the clock that shows more", () => {
    const look = () => [copy.peek("a", 1), ...[249, 250, 5249, 5250].map((age) => copy.peek("b", age))];
    const seen = [look()];
    snapshot("1-a", ["a"]);
    seen.push(look());
    copy.recordProof(readClocks(clock));
    clock.advance(250);
    seen.push(look());
    // A suspension: the monotonic clock stood still.
    clock.jumpTo(clock.now() + 5000);
    seen.push(look());
    clock.jumpTo(clock.now() - HOUR);
    seen.push(look());
    expect(seen).to.deep.equal([
      [undefined, undefined, undefined, undefined, undefined],
      [true, undefined, undefined, undefined, undefined],
      [true, undefined, false, false, false],
      [true, undefined, undefined, undefined, false],
      [true, undefined, false, false, false],
    ]);
  });

  it("gives no negative before it is complete, even after a late proof", () => {
    copy.begin({ isSnapshot: true, fingerprintKey: KEY });
    put("a");
    copy.recordProof(readClocks(clock));
    expect([copy.peek("a", 1000), copy.peek("b", 1000)]).to.deep.equal([true, undefined]);
  });

  it("has no verdict on an invalid jti, even if careless encoding would turn it into a blacklisted jti", () => {
    snapshot("1-a", ["\uFFFD", "a".repeat(255)]);
    copy.recordProof(readClocks(clock));
    const texts = ["\uFFFD", "b", "\uD800", "", "\0", "b\0", "a".repeat(256), "a".repeat(999)];
    expect(texts.map((text) => [copy.peek(text, 1000), copy.isBlacklisted(text)])).to.deep.equal([
      [true, true],
      [false, false],
      ...Array.from({ length: 6 }, () => [undefined, false]),
    ]);
  });

  it("gives no negative and has no proof after the service's key has changed, until the new copy is complete", () => {
    snapshot("1-a", ["a"]);
    copy.recordProof(readClocks(clock));
    copy.begin({ isSnapshot: true, fingerprintKey: OTHER_KEY });
    const meanwhile = [copy.isComplete, copy.stalenessMs, copy.cursor, copy.reflects("1-a")];
    copy.recordRevision("1-b");
    expect([meanwhile, copy.isComplete, copy.cursor?.revision]).to.deep.equal([
      [false, Number.POSITIVE_INFINITY, undefined, false],
      true,
      "1-b",
    ]);
  });

  it("still returns positives of an earlier key, and frees its memory when they have expired", () => {
    snapshot("1-a", ["old"]);
    snapshot("1-b", ["new"], OTHER_KEY);
    const both = [copy.isBlacklisted("old"), copy.isBlacklisted("new"), copy.size];
    clock.advance(2 * HOUR);
    for (let sweeps = 0; sweeps < 2; sweeps++) copy.sweep();
    expect([both, copy.size]).to.deep.equal([[true, true, 2], 0]);
  });

  it("keeps no earlier key without entries", () => {
    for (let at = 0; at < 100; at++)
      copy.begin({ isSnapshot: true, fingerprintKey: new Uint8Array(32).fill(at) });
    expect(copy.tableCount).to.equal(1);
    snapshot("1-a", ["a"]);
    copy.begin({ isSnapshot: true, fingerprintKey: OTHER_KEY });
    expect([copy.tableCount, copy.size]).to.deep.equal([2, 1]);
  });

  it("sweeps only entries that are expired by both clocks", () => {
    snapshot(
      "1-a",
      Array.from({ length: 100 }, (_, index) => `jti-${index}`),
    );
    copy.recordServiceTime(clock.now() - 10_000);
    clock.advance(HOUR);
    copy.sweep();
    const early = copy.size;
    clock.advance(10_000);
    copy.sweep();
    expect([early, copy.size, SWEEP_INDEX_SEGMENTS > 0]).to.deep.equal([100, 0, true]);
  });

  it("reflects its most recent revisions, and none of another history", () => {
    snapshot("0-a", []);
    for (let number = 1; number <= KEPT_STAMPS; number++) copy.recordRevision(`${number}-a`);
    const seen = ["0-a", "1-a", `${KEPT_STAMPS}-a`, "7-b"].map((revision) => copy.reflects(revision));
    copy.begin({ isSnapshot: true, fingerprintKey: KEY });
    expect([seen, copy.reflects("1-a")]).to.deep.equal([[false, true, true, false], false]);
  });

  it("is empty once it was dropped", () => {
    snapshot("1-a", ["a"]);
    copy.recordProof(readClocks(clock));
    copy.drop();
    // A message that was still in flight.
    put("b");
    copy.recordRevision("2-a");
    expect(copy.reflects("2-a")).to.equal(false);
    expect([
      copy.isBlacklisted("a"),
      copy.isComplete,
      copy.size,
      copy.cursor,
      copy.stalenessMs,
    ]).to.deep.equal([false, false, 0, undefined, Number.POSITIVE_INFINITY]);
  });
});
