import { expect } from "chai";
import { ClientError } from "../../../src/client/client-error.ts";
import { PROOF_TIMEOUT_MS, SyncRounds } from "../../../src/client/local-copy/sync-rounds.ts";
import type { ClockReading } from "../../../src/time/clock.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { turn } from "../../support/held-store.ts";

const AWAY = new ClientError("UNAVAILABLE", "away");

describe("SyncRounds", () => {
  let clock: FakeClock;
  let sent: bigint[];
  let proven: number[];
  let failed: string[];
  let proofs: SyncRounds;
  let told: Record<string, string>;

  beforeEach(() => {
    clock = new FakeClock();
    [sent, proven, failed, told] = [[], [], [], {}];
    proofs = new SyncRounds({
      clock,
      send: (id) => void sent.push(id),
      onProven: ({ monotonic }: ClockReading) => void proven.push(monotonic),
      onFailed: ({ message }) => void failed.push(message),
    });
  });

  /** Requests a proof, and records its result under a name. */
  function ask(name: string): Promise<void> {
    const promise = proofs.prove();
    promise.then(
      () => {
        told[name] = "proven";
      },
      (error: ClientError) => {
        told[name] = error.message;
      },
    );
    return promise;
  }

  it("sends one sync for all requests of a turn, which share one promise", async () => {
    const promises = [ask("a"), ask("b")];
    queueMicrotask(() => void promises.push(ask("c")));
    await turn();
    proofs.onSynced(1n);
    await turn();
    expect([sent, new Set(promises).size, told]).to.deep.equal([
      [1n],
      1,
      { a: "proven", b: "proven", c: "proven" },
    ]);
  });

  it("makes requests during a sync wait for the next one", async () => {
    void ask("early");
    await turn();
    void ask("late");
    await turn();
    const one = [...sent];
    proofs.onSynced(1n);
    await turn();
    const first = { ...told };
    proofs.onSynced(2n);
    await turn();
    expect([one, first, sent, told]).to.deep.equal([
      [1n],
      { early: "proven" },
      [1n, 2n],
      { early: "proven", late: "proven" },
    ]);
  });

  it("counts a proof from the time its sync was sent", async () => {
    clock.advance(100);
    void ask("a");
    await turn();
    clock.advance(70);
    proofs.onSynced(1n);
    expect(proven).to.deep.equal([100]);
  });

  it("does not take the response to an earlier, abandoned sync for one to the next", async () => {
    void ask("abandoned");
    await turn();
    clock.advance(PROOF_TIMEOUT_MS);
    await turn();
    void ask("next");
    await turn();
    proofs.onSynced(1n);
    await turn();
    const before = [{ ...told }, [...proven]];
    proofs.onSynced(2n);
    await turn();
    expect([before, told.next, proven]).to.deep.equal([
      [{ abandoned: "the service has not proven the copy current in time" }, []],
      "proven",
      [PROOF_TIMEOUT_MS],
    ]);
  });

  it("accepts a response that arrived in time although this process was too busy to read it", async () => {
    void ask("a");
    await turn();
    clock.advance(PROOF_TIMEOUT_MS);
    proofs.onSynced(1n);
    await turn();
    await turn();
    expect([told, failed]).to.deep.equal([{ a: "proven" }, []]);
  });

  it("rejects the requests that share a sync without proof, and no others", async () => {
    void ask("a");
    await turn();
    void ask("b");
    proofs.onUnsynced(1n, AWAY);
    await turn();
    const before = { ...told };
    proofs.onSynced(2n);
    await turn();
    expect([before, told, failed]).to.deep.equal([{ a: "away" }, { a: "away", b: "proven" }, ["away"]]);
  });

  it("rejects all when the stream ends, and starts over with the next stream", async () => {
    void ask("pending");
    await turn();
    void ask("waiting");
    proofs.fail(AWAY);
    await turn();
    void ask("later");
    await turn();
    // From the stream that has ended.
    proofs.onSynced(1n);
    proofs.onSynced(2n);
    await turn();
    expect([told, sent, clock.pendingTimers]).to.deep.equal([
      { pending: "away", waiting: "away", later: "proven" },
      [1n, 2n],
      0,
    ]);
  });

  it("leaves no rejection unhandled if only the copy itself requested a proof", async () => {
    const unhandled: unknown[] = [];
    const listen = (error: unknown) => unhandled.push(error);
    process.on("unhandledRejection", listen);
    try {
      void proofs.prove();
      proofs.fail(AWAY);
      await turn();
      await turn();
    } finally {
      process.off("unhandledRejection", listen);
    }
    expect(unhandled).to.deep.equal([]);
  });
});
