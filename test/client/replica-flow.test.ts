import { expect } from "chai";
import { Verdict } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { ClientError } from "../../src/client/client-error.ts";
import type { Replica, ReplicaFactory } from "../../src/client/replica/replica.ts";
import { ServiceError } from "../../src/errors.ts";
import { until } from "../support/until.ts";
import { failure } from "./failure.ts";
import { Stage } from "./opened.ts";

/** A copy that proves itself when a test says so. What a real one does with the stream is tested with that. */
class FakeReplica implements Replica {
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

describe("checks in replica mode", () => {
  const stage = new Stage();
  afterEach(() => stage.close());

  const fake = () => {
    const replica = new FakeReplica();
    const factory: ReplicaFactory = () => replica;
    return { replica, factory };
  };

  it("are answered at once where the copy knows, and nobody is asked", async () => {
    const { replica, factory } = fake();
    const { client, service, events } = await stage.scripted({}, { replica: factory });
    replica.blacklisted.add("bad");
    replica.provenWithinMs = 200;
    expect([
      await client.isBlacklisted("bad"),
      await client.areBlacklisted(["a", "bad"], { maxStalenessMs: 200 }),
      client.peek("bad"),
      client.peek("a", { maxStalenessMs: 200 }),
      client.peek("a", { maxStalenessMs: 199 }),
      client.peek("a"),
      replica.proofs,
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
    const { replica, factory } = fake();
    const { client } = await stage.scripted({}, { replica: factory });
    replica.provenWithinMs = 0;
    const check = client.isBlacklisted("a", { maxStalenessMs: 0 });
    const known = client.peek("a", { maxStalenessMs: 0 });
    replica.proven();
    expect([await check, known, replica.proofs]).to.deep.equal([false, undefined, 1]);
  });

  it("share one proof, and look again after it", async () => {
    const { replica, factory } = fake();
    const { client, service } = await stage.scripted({}, { replica: factory });
    const checks = ["a", "bad", "c"].map((jti) => client.isBlacklisted(jti));
    replica.blacklisted.add("bad");
    replica.proven();
    const later = client.isBlacklisted("a");
    expect(await Promise.all(checks)).to.deep.equal([false, true, false]);
    replica.proven();
    expect([await later, replica.proofs, service.calls]).to.deep.equal([false, 2, []]);
  });

  it("never share a proof that was on its way before they were asked", async () => {
    const { replica, factory } = fake();
    const { client } = await stage.scripted({}, { replica: factory });
    const before = client.isBlacklisted("bad");
    const prove = replica.sent();
    const after = client.isBlacklisted("bad");
    prove();
    expect(await before).to.equal(false);
    replica.blacklisted.add("bad");
    replica.proven();
    expect([await after, replica.proofs]).to.deep.equal([true, 2]);
  });

  it("ask the service when there is no proof, or no complete copy", async () => {
    const { replica, factory } = fake();
    const { client, service } = await stage.scripted(
      { isBlacklisted: ({ jtis }) => ({ verdicts: jtis.map(() => Verdict.NOT_BLACKLISTED), revision: "r" }) },
      { replica: factory },
    );
    const unproven = client.areBlacklisted(["a", "b"]);
    replica.notProven();
    expect(await unproven).to.deep.equal([false, false]);
    replica.isComplete = false;
    expect([await client.isBlacklisted("c"), replica.proofs, service.calls.length]).to.deep.equal([
      false,
      1,
      2,
    ]);
  });

  it("ask the service where the copy was dropped between its proof and the second look", async () => {
    const { replica, factory } = fake();
    const { client, service } = await stage.scripted(
      { isBlacklisted: ({ jtis }) => ({ verdicts: jtis.map(() => Verdict.BLACKLISTED), revision: "r" }) },
      { replica: factory },
    );
    const asked = client.isBlacklisted("a");
    replica.proven();
    // Before whoever waits is woken: it was too large, and knows nothing any more.
    replica.isComplete = false;
    expect([await asked, service.calls.length]).to.deep.equal([true, 1]);
  });

  it("for a revision ask the copy if it reflects it, else the service", async () => {
    const { replica, factory } = fake();
    const { client, service } = await stage.scripted(
      { isBlacklisted: ({ jtis }) => ({ verdicts: jtis.map(() => Verdict.BLACKLISTED), revision: "r" }) },
      { replica: factory },
    );
    replica.revisions.add("r1");
    const told = [await client.isBlacklisted("a", { atLeastRevision: "r1" })];
    replica.isComplete = false;
    told.push(await client.isBlacklisted("a", { atLeastRevision: "r1" }));
    replica.isComplete = true;
    told.push(await client.isBlacklisted("b", { atLeastRevision: "r2" }));
    expect([told, service.calls.length, replica.proofs]).to.deep.equal([[false, true, true], 2, 0]);
  });

  it("end by their own deadline or signal while the proof is awaited, and the others go on", async () => {
    const { replica, factory } = fake();
    const { client } = await stage.scripted({}, { replica: factory });
    const caller = new AbortController();
    const patient = client.isBlacklisted("a", { timeoutMs: 10_000 });
    const hasty = failure(client.isBlacklisted("b", { timeoutMs: 20 }));
    const gone = failure(client.isBlacklisted("c", { signal: caller.signal }));
    caller.abort();
    expect([(await hasty).code, (await gone).code]).to.deep.equal(["DEADLINE_EXCEEDED", "CANCELLED"]);
    replica.proven();
    expect(await patient).to.equal(false);
  });

  it("fall back on onUnavailable at the very end, which never allows what the copy knows", async () => {
    const { replica, factory } = fake();
    const { client } = await stage.scripted(
      { isBlacklisted: away },
      { replica: factory, onUnavailable: "allow" },
    );
    const checks = ["a", "bad"].map((jti) => client.isBlacklisted(jti, { timeoutMs: 100 }));
    replica.notProven();
    replica.blacklisted.add("bad");
    expect(await Promise.all(checks)).to.deep.equal([false, true]);
  });

  it("leave the state to the copy, and close it", async () => {
    const replica = new FakeReplica();
    let say: (state: "loading" | "ready") => void = () => {};
    const { client } = await stage.scripted(
      { isBlacklisted: ({ jtis }) => ({ verdicts: jtis.map(() => Verdict.NOT_BLACKLISTED), revision: "r" }) },
      {
        replica: ({ onState }) => {
          say = onState;
          return replica;
        },
      },
    );
    replica.isComplete = false;
    say("loading");
    await client.isBlacklisted("a");
    const states = [client.state];
    say("ready");
    states.push(client.state);
    const waiting = failure(client.isBlacklisted("b"));
    client.close();
    await until(() => replica.isClosed, { withinMs: 1000, what: "the copy is closed" });
    expect([states, client.state, (await waiting).code]).to.deep.equal([
      ["loading", "ready"],
      "closed",
      "CANCELLED",
    ]);
  });
});
