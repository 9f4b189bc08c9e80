import { expect } from "chai";
import { Verdict } from "../../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { ClientError } from "../../../src/client/client-error.ts";
import type { LocalCopy, LocalCopyFactory } from "../../../src/client/local-copy/local-copy.ts";
import { ServiceError } from "../../../src/errors.ts";
import { until } from "../../support/until.ts";
import { failure } from "../failure.ts";
import { Stage } from "../opened.ts";

/** A copy that proves itself when a test says so. What a real one does with the stream is tested with that. */
class FakeLocalCopy implements LocalCopy {
  isComplete = true;
  isClosed = false;
  readonly blacklisted = new Set<string>();
  provenWithinMs = Number.POSITIVE_INFINITY;
  readonly revisions = new Set<string>();
  proofs = 0;
  #waiting: { promise: Promise<void>; resolve: () => void; reject: (error: ClientError) => void } | undefined;

  peek(jti: string, maxStalenessMs?: number): boolean | undefined {
    if (this.blacklisted.has(jti)) return true;
    return maxStalenessMs !== undefined && maxStalenessMs >= this.provenWithinMs ? false : undefined;
  }

  get version(): number {
    return this.blacklisted.size;
  }

  reflects(revision: string): boolean {
    return this.revisions.has(revision);
  }

  prove(): Promise<void> {
    if (this.#waiting === undefined) {
      this.proofs++;
      let resolve: () => void = () => {};
      let reject: (error: ClientError) => void = () => {};
      const promise = new Promise<void>((...both) => {
        [resolve, reject] = both;
      });
      this.#waiting = { promise, resolve, reject };
    }
    return this.#waiting.promise;
  }

  isBlacklisted(jti: string): boolean {
    return this.blacklisted.has(jti);
  }

  close(): void {
    this.isClosed = true;
  }

  /** The message that asks for proof has gone: who asks now gets another proof. Returns what proves the first. */
  sent(): () => void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    return () => waiting?.resolve();
  }

  proven(): void {
    this.#waiting?.resolve();
    this.#waiting = undefined;
  }

  notProven(): void {
    this.#waiting?.reject(new ClientError("UNAVAILABLE", "no proof", { reason: "NOT_FRESH" }));
    this.#waiting = undefined;
  }
}

const away = () => {
  throw new ServiceError("STORE_UNAVAILABLE", "away");
};

describe("checks in local mode", () => {
  const stage = new Stage();
  afterEach(() => stage.close());

  const fake = () => {
    const localCopy = new FakeLocalCopy();
    const factory: LocalCopyFactory = () => localCopy;
    return { localCopy, factory };
  };

  it("are answered at once where the copy knows, and nobody is asked", async () => {
    const { localCopy, factory } = fake();
    const { client, service, events } = await stage.scripted({}, { localCopy: factory });
    localCopy.blacklisted.add("bad");
    localCopy.provenWithinMs = 200;
    expect([
      await client.isBlacklisted("bad"),
      await client.areBlacklisted(["a", "bad"], { maxStalenessMs: 200 }),
      client.peek("bad"),
      client.peek("a", { maxStalenessMs: 200 }),
      client.peek("a", { maxStalenessMs: 199 }),
      client.peek("a"),
      localCopy.proofs,
      service.calls,
      events[0],
    ]).to.deep.equal([
      true,
      [false, true],
      true,
      false,
      undefined,
      undefined,
      0,
      [],
      ["checked", { answer: true, source: "copy", count: 1 }],
    ]);
  });

  it("that are to be fully fresh are not content with a proof of just now", async () => {
    const { localCopy, factory } = fake();
    const { client } = await stage.scripted({}, { localCopy: factory });
    localCopy.provenWithinMs = 0;
    const check = client.isBlacklisted("a", { maxStalenessMs: 0 });
    const known = client.peek("a", { maxStalenessMs: 0 });
    localCopy.proven();
    expect([await check, known, localCopy.proofs]).to.deep.equal([false, undefined, 1]);
  });

  it("share one proof, and look again after it", async () => {
    const { localCopy, factory } = fake();
    const { client, service } = await stage.scripted({}, { localCopy: factory });
    const checks = ["a", "bad", "c"].map((jti) => client.isBlacklisted(jti));
    localCopy.blacklisted.add("bad");
    localCopy.proven();
    const later = client.isBlacklisted("a");
    expect(await Promise.all(checks)).to.deep.equal([false, true, false]);
    localCopy.proven();
    expect([await later, localCopy.proofs, service.calls]).to.deep.equal([false, 2, []]);
  });

  it("never share a proof that was on its way before they were asked", async () => {
    const { localCopy, factory } = fake();
    const { client } = await stage.scripted({}, { localCopy: factory });
    const before = client.isBlacklisted("bad");
    const prove = localCopy.sent();
    const after = client.isBlacklisted("bad");
    prove();
    expect(await before).to.equal(false);
    localCopy.blacklisted.add("bad");
    localCopy.proven();
    expect([await after, localCopy.proofs]).to.deep.equal([true, 2]);
  });

  it("ask the service when there is no proof, or no complete copy", async () => {
    const { localCopy, factory } = fake();
    const { client, service } = await stage.scripted(
      { isBlacklisted: ({ jtis }) => ({ verdicts: jtis.map(() => Verdict.NOT_BLACKLISTED), revision: "r" }) },
      { localCopy: factory },
    );
    const unproven = client.areBlacklisted(["a", "b"]);
    localCopy.notProven();
    expect(await unproven).to.deep.equal([false, false]);
    localCopy.isComplete = false;
    expect([await client.isBlacklisted("c"), localCopy.proofs, service.calls.length]).to.deep.equal([
      false,
      1,
      2,
    ]);
  });

  it("ask the service where the copy was dropped between its proof and the second look", async () => {
    const { localCopy, factory } = fake();
    const { client, service } = await stage.scripted(
      { isBlacklisted: ({ jtis }) => ({ verdicts: jtis.map(() => Verdict.BLACKLISTED), revision: "r" }) },
      { localCopy: factory },
    );
    const asked = client.isBlacklisted("a");
    localCopy.proven();
    // Before whoever waits is woken: it was too large, and knows nothing any more.
    localCopy.isComplete = false;
    expect([await asked, service.calls.length]).to.deep.equal([true, 1]);
  });

  it("for a revision ask the copy if it reflects it, else the service", async () => {
    const { localCopy, factory } = fake();
    const { client, service } = await stage.scripted(
      { isBlacklisted: ({ jtis }) => ({ verdicts: jtis.map(() => Verdict.BLACKLISTED), revision: "r" }) },
      { localCopy: factory },
    );
    localCopy.revisions.add("r1");
    const told = [await client.isBlacklisted("a", { atLeastRevision: "r1" })];
    localCopy.isComplete = false;
    told.push(await client.isBlacklisted("a", { atLeastRevision: "r1" }));
    localCopy.isComplete = true;
    told.push(await client.isBlacklisted("b", { atLeastRevision: "r2" }));
    expect([told, service.calls.length, localCopy.proofs]).to.deep.equal([[false, true, true], 2, 0]);
  });

  it("end by their own deadline or signal while the proof is awaited, and the others go on", async () => {
    const { localCopy, factory } = fake();
    const { client } = await stage.scripted({}, { localCopy: factory });
    const caller = new AbortController();
    const patient = client.isBlacklisted("a", { timeoutMs: 10_000 });
    const hasty = failure(client.isBlacklisted("b", { timeoutMs: 20 }));
    const gone = failure(client.isBlacklisted("c", { signal: caller.signal }));
    caller.abort();
    expect([(await hasty).code, (await gone).code]).to.deep.equal(["DEADLINE_EXCEEDED", "CANCELLED"]);
    localCopy.proven();
    expect(await patient).to.equal(false);
  });

  it("fall back on onUnavailable at the very end, which never allows what the copy knows", async () => {
    const { localCopy, factory } = fake();
    const { client } = await stage.scripted(
      { isBlacklisted: away },
      { localCopy: factory, onUnavailable: "allow" },
    );
    const checks = ["a", "bad"].map((jti) => client.isBlacklisted(jti, { timeoutMs: 100 }));
    localCopy.notProven();
    localCopy.blacklisted.add("bad");
    expect(await Promise.all(checks)).to.deep.equal([false, true]);
  });

  it("leave the state to the copy, and close it", async () => {
    const localCopy = new FakeLocalCopy();
    let say: (state: "loading" | "ready") => void = () => {};
    const { client } = await stage.scripted(
      { isBlacklisted: ({ jtis }) => ({ verdicts: jtis.map(() => Verdict.NOT_BLACKLISTED), revision: "r" }) },
      {
        localCopy: ({ onState }) => {
          say = onState;
          return localCopy;
        },
      },
    );
    localCopy.isComplete = false;
    say("loading");
    await client.isBlacklisted("a");
    const states = [client.state];
    say("ready");
    states.push(client.state);
    const waiting = failure(client.isBlacklisted("b"));
    client.close();
    await until(() => localCopy.isClosed, { withinMs: 1000, what: "the copy is closed" });
    expect([states, client.state, (await waiting).code]).to.deep.equal([
      ["loading", "ready"],
      "closed",
      "CANCELLED",
    ]);
  });
});
