import { expect } from "chai";
import {
  BlacklistResult_Outcome as Outcome,
  Verdict,
} from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { backends, type FreshDatabase } from "../support/backends.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { rejection } from "../support/rejection.ts";
import { type RunningService, type ServiceOptions, startService } from "../support/service.ts";

const HOUR = 3_600_000;
const LEEWAY = 300_000;

function timestamp(ms: number) {
  const seconds = Math.floor(ms / 1000);
  return { seconds: BigInt(seconds), nanos: (ms - seconds * 1000) * 1_000_000 };
}

function token(jti: string, { expiresAt = Date.now() + HOUR, reason = "" } = {}) {
  return { token: { case: "jti" as const, value: jti }, expiresAt: timestamp(expiresAt), reason };
}

const settings = backends.flatMap((backend) => ["on", "off"].map((index) => ({ backend, index })));

for (const { backend, index } of settings) {
  describe(`the service on ${backend.name}, index ${index}`, () => {
    let database: FreshDatabase;
    let running: RunningService[];
    let service: RunningService;

    beforeEach(async () => {
      database = await backend.create();
      running = [];
      service = await startOn();
    });

    afterEach(async () => {
      await Promise.all(running.map((one) => one.stop()));
      await database.dispose();
    });

    async function startOn(options: Omit<ServiceOptions, "url"> = {}): Promise<RunningService> {
      const one = await startService({
        url: database.url,
        ...options,
        env: { INDEX: index, ...options.env },
      });
      running.push(one);
      if (index === "on") await one.indexLoaded();
      return one;
    }

    async function restart(options: Omit<ServiceOptions, "url">): Promise<RunningService> {
      await Promise.all(running.splice(0).map((one) => one.stop()));
      service = await startOn(options);
      return service;
    }

    async function outcomes(...tokens: ReturnType<typeof token>[]): Promise<Outcome[]> {
      return (await service.client.blacklist({ tokens })).results.map(({ outcome }) => outcome);
    }

    async function verdicts(...jtis: string[]): Promise<Verdict[]> {
      return (await service.client.isBlacklisted({ jtis })).verdicts;
    }

    /** A service whose clock is behind the database's, so that every expiry can be passed. */
    async function inThePast(env: Record<string, string> = {}): Promise<FakeClock> {
      const clock = new FakeClock(Date.now() - 1000 * HOUR);
      await restart({ clock, env });
      return clock;
    }

    describe("Blacklist", () => {
      it("is effective for the next check, and stores its fields", async () => {
        const expiresAt = Math.floor(Date.now() / 1000) * 1000 + HOUR;
        const { results, revision } = await service.client.blacklist({
          tokens: [token("a", { expiresAt, reason: "stolen laptop" })],
        });
        const [result] = results;
        expect([
          result?.outcome,
          result?.token?.jti,
          result?.token?.reason,
          result?.token?.revokedBy,
          result?.token?.expiresAt?.seconds,
        ]).to.deep.equal([Outcome.CREATED, "a", "stolen laptop", "", BigInt(expiresAt / 1000)]);
        const checked = await service.client.isBlacklisted({ jtis: ["a", "b"] });
        expect([checked.verdicts, checked.revision]).to.deep.equal([
          [Verdict.BLACKLISTED, Verdict.NOT_BLACKLISTED],
          revision,
        ]);
      });

      it("returns CREATED, then ALREADY_BLACKLISTED, EXTENDED for a later expiry, and never shortens one", async () => {
        const now = Date.now();
        expect([
          await outcomes(token("a", { expiresAt: now + HOUR })),
          await outcomes(token("a", { expiresAt: now + HOUR })),
          await outcomes(token("a", { expiresAt: now + 2 * HOUR })),
          await outcomes(token("a", { expiresAt: now + HOUR })),
        ]).to.deep.equal([
          [Outcome.CREATED],
          [Outcome.ALREADY_BLACKLISTED],
          [Outcome.EXTENDED],
          [Outcome.ALREADY_BLACKLISTED],
        ]);
        const { tokens } = await service.client.list({});
        expect(tokens.map((one) => one.expiresAt?.seconds)).to.deep.equal([
          BigInt(Math.floor((now + 2 * HOUR) / 1000)),
        ]);
      });

      it("treats repeated jtis in a request as one, with the latest expiry", async () => {
        const now = Date.now();
        const { results } = await service.client.blacklist({
          tokens: [
            token("a", { expiresAt: now + HOUR, reason: "first" }),
            token("b"),
            token("a", { expiresAt: now + 3 * HOUR, reason: "second" }),
            token("a", { expiresAt: now + 2 * HOUR }),
          ],
        });
        const seen = results.map(({ outcome, token: stored }) => [
          stored?.jti,
          outcome,
          stored?.reason,
          stored?.jti === "a" && Number(stored.expiresAt?.seconds) === Math.floor((now + 3 * HOUR) / 1000),
        ]);
        expect(seen).to.deep.equal([
          ["a", Outcome.CREATED, "first", true],
          ["b", Outcome.CREATED, "", false],
          ["a", Outcome.ALREADY_BLACKLISTED, "first", true],
          ["a", Outcome.ALREADY_BLACKLISTED, "first", true],
        ]);
      });

      it("stores all tokens of a request or none", async () => {
        const error = await rejection(
          service.client.blacklist({ tokens: [token("a"), token("b", { expiresAt: 1 }), token("c")] }),
        );
        expect(error).to.deep.include({ code: "INVALID_ARGUMENT", reason: "INVALID_REQUEST" });
        expect(await verdicts("a", "b", "c")).to.deep.equal(Array(3).fill(Verdict.NOT_BLACKLISTED));
      });

      it("has exactly one CREATED among 50 concurrent callers", async () => {
        const expiresAt = Date.now() + HOUR;
        const told = await Promise.all(
          Array.from({ length: 50 }, () => outcomes(token("contested", { expiresAt }))),
        );
        expect(told.flat().sort()).to.deep.equal(
          [Outcome.CREATED, ...Array(49).fill(Outcome.ALREADY_BLACKLISTED)].sort(),
        );
      });

      it("accepts 1000 tokens and refuses 1001", async () => {
        const many = Array.from({ length: 1001 }, (_, index) => token(`t${index}`));
        expect(
          (await outcomes(...many.slice(0, 1000))).every((outcome) => outcome === Outcome.CREATED),
        ).to.equal(true);
        expect(await rejection(outcomes(...many))).to.deep.include({
          violations: [{ field: "tokens", description: "must hold 1 to 1000, not more" }],
        });
      });

      it("refuses an expiry that has passed, leeway included, and accepts a later one", async () => {
        const clock = await inThePast();
        const edge = clock.now() - LEEWAY;
        expect(await outcomes(token("still accepted somewhere", { expiresAt: edge + 1 }))).to.deep.equal([
          Outcome.CREATED,
        ]);
        expect(await rejection(outcomes(token("gone", { expiresAt: edge })))).to.have.nested.property(
          "violations[0].field",
          "tokens[0].expires_at",
        );
      });

      it("treats an expiry as passed only if the database's clock does too", async () => {
        const clock = new FakeClock(Date.now() + 24 * HOUR);
        await restart({ clock });
        expect(await outcomes(token("a", { expiresAt: Date.now() + HOUR }))).to.deep.equal([Outcome.CREATED]);
        expect(await verdicts("a")).to.deep.equal([Verdict.BLACKLISTED]);
      });

      it("refuses a raw token with INVALID_ARGUMENT and its own message", async () => {
        const error = await rejection(
          service.client.blacklist({
            tokens: [{ token: { case: "jwt", value: "header.payload.signature" } }],
          }),
        );
        expect(error).to.have.nested.property("violations[0].field", "tokens[0].jwt");
        expect(String(error)).not.to.include("payload.signature");
      });
    });

    describe("IsBlacklisted", () => {
      it("returns BLACKLISTED until the end of the leeway, to the millisecond, after which the entry can be created again", async () => {
        const clock = await inThePast();
        const expiresAt = clock.now() + 1000;
        await outcomes(token("a", { expiresAt, reason: "old" }));
        const seen: Verdict[][] = [];
        for (const instant of [
          expiresAt - 1,
          expiresAt,
          expiresAt + 1,
          expiresAt + LEEWAY - 1,
          expiresAt + LEEWAY,
        ]) {
          clock.jumpTo(instant);
          seen.push(await verdicts("a"));
        }
        const [yes, no] = [Verdict.BLACKLISTED, Verdict.NOT_BLACKLISTED];
        expect(seen).to.deep.equal([[yes], [yes], [yes], [yes], [no]]);
        expect(await outcomes(token("a", { expiresAt: expiresAt + HOUR, reason: "new" }))).to.deep.equal([
          Outcome.CREATED,
        ]);
        expect((await service.client.list({})).tokens.map(({ reason }) => reason)).to.deep.equal(["new"]);
      });

      it("returns NOT_BLACKLISTED at the very expiry without leeway", async () => {
        const clock = await inThePast({ EXPIRY_LEEWAY: "0" });
        const expiresAt = clock.now() + 1000;
        await outcomes(token("a", { expiresAt }));
        clock.jumpTo(expiresAt - 1);
        const before = await verdicts("a");
        clock.jumpTo(expiresAt);
        expect([before, await verdicts("a")]).to.deep.equal([
          [Verdict.BLACKLISTED],
          [Verdict.NOT_BLACKLISTED],
        ]);
      });

      it("rounds a fraction of a millisecond up, so that no entry expires early", async () => {
        const clock = await inThePast({ EXPIRY_LEEWAY: "0" });
        const base = Math.floor(clock.now() / 1000) + 10;
        await service.client.blacklist({
          tokens: [{ token: { case: "jti", value: "a" }, expiresAt: { seconds: BigInt(base), nanos: 1 } }],
        });
        clock.jumpTo(base * 1000);
        const before = await verdicts("a");
        clock.jumpTo(base * 1000 + 1);
        expect([before, await verdicts("a")]).to.deep.equal([
          [Verdict.BLACKLISTED],
          [Verdict.NOT_BLACKLISTED],
        ]);
      });

      it("returns one verdict per jti in order, repeats included", async () => {
        await outcomes(token("a"), token("b"));
        const [yes, no] = [Verdict.BLACKLISTED, Verdict.NOT_BLACKLISTED];
        expect(await verdicts("x", "a", "x", "b", "a", "A")).to.deep.equal([no, yes, no, yes, yes, no]);
      });

      it("honours a revision, a staleness, or full freshness", async () => {
        const { revision } = await service.client.blacklist({ tokens: [token("a")] });
        const later = (await service.client.blacklist({ tokens: [token("b")] })).revision;
        const asked = [
          { case: "atLeastRevision" as const, value: revision },
          { case: "atLeastRevision" as const, value: later },
          { case: "maxStaleness" as const, value: { seconds: 0n, nanos: 0 } },
          { case: "maxStaleness" as const, value: { seconds: 5n, nanos: 1 } },
        ];
        for (const freshness of asked) {
          const answer = await service.client.isBlacklisted({ jtis: ["a", "c"], freshness });
          // A weaker freshness may be answered.
          const allowed = freshness === asked.at(-1) || freshness === asked[0] ? [revision, later] : [later];
          expect(answer.verdicts).to.deep.equal([Verdict.BLACKLISTED, Verdict.NOT_BLACKLISTED]);
          expect(allowed).to.include(answer.revision);
        }
      });

      it("returns REVISION_LOST for a revision that this database never had", async () => {
        const { revision } = await service.client.blacklist({ tokens: [token("a")] });
        const lost = [
          `${Number(revision.split("-")[0]) + 1}-${revision.split("-")[1]}`,
          `${revision.split("-")[0]}-0123456789abcdef`,
        ];
        for (const value of lost) {
          const error = await rejection(
            service.client.isBlacklisted({ jtis: ["b"], freshness: { case: "atLeastRevision", value } }),
          );
          expect(error).to.include({ code: "FAILED_PRECONDITION", reason: "REVISION_LOST" });
        }
      });

      it("returns known positives even if the revision is lost", async () => {
        await service.client.blacklist({ tokens: [token("a")] });
        const freshness = { case: "atLeastRevision" as const, value: "99-0123456789abcdef" };
        const { verdicts: told } = await service.client.isBlacklisted({ jtis: ["b", "a"], freshness });
        expect(told).to.deep.equal([Verdict.UNKNOWN, Verdict.BLACKLISTED]);
      });

      it("refuses no jtis, 1001 of them, and malformed ones, and keeps the connection", async () => {
        const jtis = ["", "x".repeat(256), "a\0b", "fine"];
        const fields = async (asked: string[]) =>
          (
            (await rejection(service.client.isBlacklisted({ jtis: asked }))) as {
              violations: { field: string }[];
            }
          ).violations.map(({ field }) => field);
        expect([await fields([]), await fields(Array(1001).fill("x")), await fields(jtis)]).to.deep.equal([
          ["jtis"],
          ["jtis"],
          ["jtis[0]", "jtis[1]", "jtis[2]"],
        ]);
        expect(await verdicts("fine")).to.deep.equal([Verdict.NOT_BLACKLISTED]);
      });
    });

    describe("List", () => {
      it("returns all pages, newest first, for any page size", async () => {
        const names = Array.from({ length: 25 }, (_, index) => `t${String(index).padStart(2, "0")}`);
        for (const name of names) await outcomes(token(name, { reason: `because ${name}` }));
        for (const pageSize of [1, 7, 25, 0, 5000]) {
          const found: string[] = [];
          let pageToken = "";
          do {
            const page = await service.client.list({ pageSize, pageToken });
            found.push(...page.tokens.map(({ jti }) => jti));
            pageToken = page.nextPageToken;
          } while (pageToken !== "");
          expect([...found].sort()).to.deep.equal(names);
        }
        const { tokens } = await service.client.list({ jtis: ["t07", "nobody"] });
        expect(tokens.map(({ jti, reason }) => [jti, reason])).to.deep.equal([["t07", "because t07"]]);
      });

      it("refuses a page token that was altered or belongs to another filter", async () => {
        await outcomes(token("a"), token("b"), token("c"));
        const { nextPageToken } = await service.client.list({ pageSize: 1 });
        const altered = nextPageToken.slice(0, -1) + (nextPageToken.endsWith("A") ? "B" : "A");
        for (const request of [
          { pageToken: altered },
          { pageToken: "x" },
          { pageToken: nextPageToken, includeExpired: true },
          { pageToken: nextPageToken, jtis: ["a"] },
        ]) {
          expect(await rejection(service.client.list({ pageSize: 1, ...request }))).to.have.nested.property(
            "violations[0].field",
            "page_token",
          );
        }
        expect((await service.client.list({ pageSize: 2, pageToken: nextPageToken })).tokens).to.have.length(
          2,
        );
      });

      it("evaluates expiry at the time of the first page", async () => {
        const clock = await inThePast({ EXPIRY_LEEWAY: "0" });
        const expiresAt = clock.now() + 1000;
        await outcomes(token("a", { expiresAt }), token("b", { expiresAt }), token("c", { expiresAt }));
        const first = await service.client.list({ pageSize: 1 });
        clock.jumpTo(expiresAt + 1);
        const second = await service.client.list({ pageSize: 5, pageToken: first.nextPageToken });
        expect([
          first.tokens.length,
          second.tokens.length,
          (await service.client.list({})).tokens.length,
        ]).to.deep.equal([1, 2, 0]);
        expect((await service.client.list({ includeExpired: true })).tokens).to.have.length(3);
      });

      it("refuses a negative page size", async () => {
        expect(await rejection(service.client.list({ pageSize: -1 }))).to.have.nested.property(
          "violations[0].field",
          "page_size",
        );
      });
    });

    describe("Prune", () => {
      /** Entries accepted by a service with its clock in the past, which have long expired. */
      async function fillWithExpired(count: number): Promise<void> {
        const clock = await inThePast();
        await outcomes(
          ...Array.from({ length: count }, (_, index) =>
            token(`old${index}`, { expiresAt: clock.now() + 1000 + index }),
          ),
        );
        await restart({});
        await outcomes(token("live"));
      }

      it("counts, deletes in bounded steps, and keeps effective entries", async () => {
        await fillWithExpired(30);
        const receipts = [];
        for (const request of [{ dryRun: true }, { dryRun: true, maxCount: 10 }, { maxCount: 20 }, {}, {}]) {
          const { prunedCount, hasMore } = await service.client.prune(request);
          receipts.push([prunedCount, hasMore]);
        }
        expect(receipts).to.deep.equal([
          [30, false],
          [10, true],
          [20, true],
          [10, false],
          [0, false],
        ]);
        expect(
          (await service.client.list({ includeExpired: true })).tokens.map(({ jti }) => jti),
        ).to.deep.equal(["live"]);
      });

      it("keeps entries within the retention", async () => {
        await fillWithExpired(3);
        await restart({ env: { PRUNE_RETENTION: "90d" } });
        expect((await service.client.prune({})).prunedCount).to.equal(0);
        expect((await service.client.list({ includeExpired: true })).tokens).to.have.length(4);
      });

      it("refuses a negative count", async () => {
        expect(await rejection(service.client.prune({ maxCount: -1 }))).to.have.nested.property(
          "violations[0].field",
          "max_count",
        );
      });

      it("stops with an explanation while the clocks differ", async () => {
        await inThePast();
        expect(await rejection(service.client.prune({}))).to.deep.include({
          code: "UNAVAILABLE",
          reason: "STORE_UNAVAILABLE",
        });
      });
    });
  });
}

describe("two services on one MySQL database", () => {
  let database: FreshDatabase;
  let replicas: RunningService[];

  before(async () => {
    database = await (backends[1] as (typeof backends)[number]).create();
    replicas = [await startService({ url: database.url }), await startService({ url: database.url })];
  });

  after(async () => {
    await Promise.all(replicas.map((replica) => replica.stop()));
    await database.dispose();
  });

  it("include at once what the other has acknowledged, 500 times", async () => {
    const [a, b] = replicas as [RunningService, RunningService];
    for (let round = 0; round < 500; round++) {
      const [writer, reader] = round % 2 === 0 ? [a, b] : [b, a];
      await writer.client.blacklist({ tokens: [token(`round ${round}`)] });
      const { verdicts } = await reader.client.isBlacklisted({ jtis: [`round ${round}`] });
      expect(verdicts).to.deep.equal([Verdict.BLACKLISTED]);
    }
  });

  it("have one CREATED between them for any number of callers", async () => {
    const outcomes = await Promise.all(
      Array.from({ length: 40 }, async (_, index) => {
        const { results } = await (replicas[index % 2] as RunningService).client.blacklist({
          tokens: [token("claimed", { expiresAt: 9e12 })],
        });
        return results[0]?.outcome;
      }),
    );
    expect(outcomes.filter((outcome) => outcome === Outcome.CREATED)).to.have.length(1);
  });

  it("accept each other's page tokens", async () => {
    const [a, b] = replicas as [RunningService, RunningService];
    const { nextPageToken, tokens: first } = await a.client.list({ pageSize: 1 });
    const { tokens: second } = await b.client.list({ pageSize: 1, pageToken: nextPageToken });
    expect(second[0]?.jti).to.be.a("string").and.not.equal(first[0]?.jti);
  });

  it("prune concurrently without an error, each entry once", async () => {
    const receipts = await Promise.all(
      Array.from({ length: 6 }, (_, index) => (replicas[index % 2] as RunningService).client.prune({})),
    );
    expect(receipts.reduce((sum, { prunedCount }) => sum + prunedCount, 0)).to.equal(0);
  });
});
