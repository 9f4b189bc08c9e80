import { expect } from "chai";
import { Verdict } from "../../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { ClientError } from "../../../src/client/client-error.ts";
import type { LocalCopy, LocalCopyFactory } from "../../../src/client/local-copy/local-copy.ts";
import { ServiceError } from "../../../src/errors.ts";
import { until } from "../../support/until.ts";
import { failure } from "../failure.ts";
import { Stage } from "../opened.ts";

/** A copy that is proven when the test says so. The stream of a real one has its own tests. */
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

  /** The sync request has been sent: later checks need another proof. Returns the function that delivers the proof. */
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

  it("are answered at once if the copy is fresh enough, without a call", async () => {
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

  it("with full freshness do not accept an earlier proof, however recent", async () => {
    const { localCopy, factory } = fake();
    const { client } = await stage.scripted({}, { localCopy: factory });
    localCopy.provenWithinMs = 0;
    const check = client.isBlacklisted("a", { maxStalenessMs: 0 });
    const known = client.peek("a", { maxStalenessMs: 0 });
    localCopy.proven();
    expect([await check, known, localCopy.proofs]).to.deep.equal([false, undefined, 1]);
  });

  it("share one proof, and look up the copy again after it", async () => {
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

  it("never share a proof that was requested before them", async () => {
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

  it("call the service without a proof or a complete copy", async () => {
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

  it("call the service if the copy was dropped between its proof and the second look-up", async () => {
    const { localCopy, factory } = fake();
    const { client, service } = await stage.scripted(
      { isBlacklisted: ({ jtis }) => ({ verdicts: jtis.map(() => Verdict.BLACKLISTED), revision: "r" }) },
      { localCopy: factory },
    );
    const asked = client.isBlacklisted("a");
    localCopy.proven();
    // Before the waiting check resumes: the copy was too large, and is empty.
    localCopy.isComplete = false;
    expect({ answer: await asked, calls: service.calls.length }).to.deep.equal({ answer: true, calls: 1 });
  });

  it("for a revision use the copy if it reflects it, else the service", async () => {
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

  it("end at their own deadline or signal while waiting for a proof, and the others continue", async () => {
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

  it("use onUnavailable only at the very end, which never allows a positive of the copy", async () => {
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

  it("leave the state to the copy, and closing the client closes it", async () => {
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
