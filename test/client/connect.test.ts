import { expect } from "chai";
import type { BlacklistClient } from "../../src/client/blacklist-client.ts";
import { clientCredentials, connect } from "../../src/client/connect.ts";
import { rejection, thrownBy } from "../support/rejection.ts";
import { type RunningService, startService } from "../support/service.ts";
import { freshFolder } from "../support/shared.ts";
import { until } from "../support/until.ts";
import { failure } from "./failure.ts";

const EXPIRES = new Date(Date.UTC(2035, 0, 1));

describe("a connected client", () => {
  let service: RunningService;
  let blacklist: BlacklistClient;

  beforeEach(async () => {
    service = await startService({ url: `sqlite:${await freshFolder()}/x.db` });
    blacklist = connect({ address: service.address });
  });

  afterEach(async () => {
    blacklist.close();
    await service.stop();
  });

  it("returns true for a token that another client has revoked, and false for others", async () => {
    const other = connect({ address: service.address });
    await other.blacklist([{ jti: "a", expiresAt: EXPIRES }]);
    other.close();
    expect([
      await blacklist.isBlacklisted("a"),
      await blacklist.isBlacklisted("A"),
      await blacklist.areBlacklisted(["b", "a", "b", "a "]),
      await blacklist.areBlacklisted([]),
    ]).to.deep.equal([true, false, [false, true, false, false], []]);
  });

  it("returns the verdicts of a list of any length in its order", async () => {
    const revoked = Array.from({ length: 900 }, (_, index) => `jti-${index * 11}`);
    await blacklist.blacklist(revoked.map((jti) => ({ jti, expiresAt: EXPIRES })));
    const fresh = connect({ address: service.address });
    const asked = Array.from({ length: 9000 }, (_, index) => `jti-${index}`);
    const known = new Set(revoked);
    expect(await fresh.areBlacklisted(asked)).to.deep.equal(asked.map((jti) => known.has(jti)));
    fresh.close();
  });

  it("returns each token's outcome, and a revision that other clients can require", async () => {
    const first = await blacklist.blacklist([
      { jti: "a", expiresAt: EXPIRES, reason: "stolen" },
      { jti: "b", expiresAt: EXPIRES.getTime() + 0.25 },
    ]);
    const { revision, results } = await blacklist.blacklist([
      { jti: "a", expiresAt: EXPIRES },
      { jti: "b", expiresAt: EXPIRES.getTime() + 1000 },
    ]);
    const outcomesOf = ({ results }: typeof first) =>
      results.map(({ jti, expiresAt, outcome, reason }) => [jti, expiresAt.getTime(), outcome, reason]);
    expect([...outcomesOf(first), ...outcomesOf({ revision, results })]).to.deep.equal([
      ["a", EXPIRES.getTime(), "created", "stolen"],
      ["b", EXPIRES.getTime() + 1, "created", ""],
      ["a", EXPIRES.getTime(), "already-blacklisted", "stolen"],
      ["b", EXPIRES.getTime() + 1000, "extended", ""],
    ]);
    expect(results[0]?.createdAt).to.be.instanceOf(Date);
    const other = connect({ address: service.address });
    expect(await other.areBlacklisted(["a", "c"], { atLeastRevision: revision })).to.deep.equal([
      true,
      false,
    ]);
    expect(await other.isBlacklisted("c", { maxStalenessMs: 1500.5 })).to.equal(false);
    other.close();
  });

  it("returns its own revocations without a call, and nothing else", async () => {
    await blacklist.blacklist([{ jti: "a", expiresAt: EXPIRES }]);
    expect([
      blacklist.peek("a"),
      blacklist.peek("b", { maxStalenessMs: 1000 }),
      blacklist.peek(undefined as unknown as string),
    ]).to.deep.equal([true, undefined, undefined]);
  });

  it("lists all pages, with filters, and prunes", async () => {
    const jtis = ["a", "b", "c", "d", "e"];
    await blacklist.blacklist(jtis.map((jti) => ({ jti, expiresAt: EXPIRES, reason: `why ${jti}` })));
    const listed = [];
    for await (const { jti, reason, expiresAt } of blacklist.list({ pageSize: 2 }))
      listed.push({ jti, reason, expiresAt });
    expect(listed.sort((a, b) => a.jti.localeCompare(b.jti))).to.deep.equal(
      jtis.map((jti) => ({ jti, reason: `why ${jti}`, expiresAt: EXPIRES })),
    );
    const some = [];
    for await (const { jti } of blacklist.list({ jtis: ["b", "x"], createdAfter: Date.now() - 60_000 }))
      some.push(jti);
    for await (const { jti } of blacklist.list({ jtis: [] })) some.push(jti);
    for await (const { jti } of blacklist.list({ createdBefore: new Date(Date.now() - 60_000) }))
      some.push(jti);
    expect(some).to.deep.equal(["b"]);
    expect(await blacklist.prune({ dryRun: true, expiredBefore: new Date() })).to.deep.equal({
      prunedCount: 0,
      hasMore: false,
    });
  });

  for (const mode of ["remote", "local"] as const) {
    for (const timeoutMs of [30 * 86_400_000, 50 * 86_400_000, 1e17, Number.POSITIVE_INFINITY]) {
      it(`accepts ${timeoutMs} ms, more than the maximum of a timer, like a shorter timeout (${mode})`, async () => {
        const credentials = clientCredentials({ token: async () => "abc" });
        const patient = connect({ address: service.address, mode, timeoutMs, credentials });
        try {
          const { results } = await patient.blacklist([{ jti: "a", expiresAt: EXPIRES }], { timeoutMs });
          const pages: string[] = [];
          for await (const { jti } of patient.list({ timeoutMs })) pages.push(jti);
          expect([
            results.map(({ outcome }) => outcome),
            await patient.isBlacklisted("b"),
            await patient.isBlacklisted("b", { timeoutMs }),
            await patient.areBlacklisted(["a", "b"], { timeoutMs }),
            await patient.isBlacklisted("b", { maxStalenessMs: Math.min(timeoutMs, 1e17) }),
            pages,
            await patient.prune({ timeoutMs }),
          ]).to.deep.equal([
            ["created"],
            false,
            false,
            [true, false],
            false,
            ["a"],
            { prunedCount: 0, hasMore: false },
          ]);
        } finally {
          patient.close();
        }
      });
    }
  }

  it("reports when it is ready, and that it is closed", async () => {
    const told: string[] = [];
    const unheard = () => told.push("never");
    blacklist
      .on("state", (state) => told.push(state))
      .on("state", unheard)
      .off("state", unheard);
    await until(() => blacklist.state === "ready", { withinMs: 5000, what: "the client is ready" });
    blacklist.close();
    blacklist.close();
    expect(told).to.deep.equal(["ready", "closed"]);
    const iterator = blacklist.list()[Symbol.asyncIterator]();
    const calls = [
      blacklist.isBlacklisted("a"),
      blacklist.areBlacklisted(["a"]),
      blacklist.blacklist([{ jti: "a", expiresAt: EXPIRES }]),
      blacklist.prune(),
      iterator.next(),
    ];
    expect(await Promise.all(calls.map(async (call) => (await failure(call)).code))).to.deep.equal(
      Array(5).fill("CANCELLED"),
    );
    expect(blacklist.peek("a")).to.equal(undefined);
  });

  it("refuses invalid arguments before sending anything, and lists every problem", async () => {
    const seconds = 1_900_000_000;
    const many = Array.from({ length: 1001 }, (_, index) => ({ jti: `${index}`, expiresAt: EXPIRES }));
    const violationsOf = async (call: Promise<unknown>) => {
      const { code, reason, violations } = await failure(call);
      expect({ code, reason }).to.deep.equal({ code: "INVALID_ARGUMENT", reason: "INVALID_REQUEST" });
      return violations.map(({ field }) => field);
    };
    const odd = (value: unknown) => value as never;
    expect([
      await violationsOf(blacklist.isBlacklisted(odd(undefined))),
      await violationsOf(blacklist.isBlacklisted("")),
      await violationsOf(blacklist.isBlacklisted("\ud800")),
      await violationsOf(blacklist.isBlacklisted("a\0")),
      await violationsOf(blacklist.isBlacklisted("é".repeat(128))),
      await violationsOf(blacklist.areBlacklisted(["a", odd(7), "b", ""])),
      await violationsOf(blacklist.areBlacklisted(odd("abc"))),
      await violationsOf(blacklist.isBlacklisted("a", { expiresAt: seconds })),
      await violationsOf(blacklist.isBlacklisted("a", { expiresAt: new Date(seconds) })),
      await violationsOf(blacklist.isBlacklisted("a", { maxStalenessMs: -1 })),
      await violationsOf(blacklist.isBlacklisted("a", { maxStalenessMs: 5, atLeastRevision: "r" })),
      await violationsOf(blacklist.isBlacklisted("a", { atLeastRevision: "" })),
      await violationsOf(blacklist.isBlacklisted("a", { timeoutMs: Number.NaN })),
      await violationsOf(blacklist.isBlacklisted("a", { timeoutMs: 0 })),
      await violationsOf(blacklist.isBlacklisted("a", { maxStalenessMs: Number.POSITIVE_INFINITY })),
      await violationsOf(blacklist.blacklist(many)),
      await violationsOf(blacklist.blacklist([])),
      await violationsOf(
        blacklist.blacklist([
          { jti: "", expiresAt: seconds },
          { jti: "a", expiresAt: EXPIRES.getTime() * 1000, reason: "x".repeat(513) },
          odd({ jti: "a", jwt: "b" }),
          odd({ jwt: "b", expiresAt: EXPIRES }),
          odd(null),
        ]),
      ),
      await violationsOf(blacklist.prune({ expiredBefore: seconds })),
      await violationsOf(
        blacklist.list({ createdAfter: seconds, pageSize: -1 })[Symbol.asyncIterator]().next(),
      ),
    ]).to.deep.equal([
      ["jti"],
      ["jti"],
      ["jti"],
      ["jti"],
      ["jti"],
      ["jtis[1]", "jtis[3]"],
      ["jtis"],
      ["expiresAt"],
      ["expiresAt"],
      ["maxStalenessMs"],
      ["maxStalenessMs"],
      ["atLeastRevision"],
      ["timeoutMs"],
      ["timeoutMs"],
      ["maxStalenessMs"],
      ["tokens"],
      ["tokens"],
      [
        "tokens[0].jti",
        "tokens[0].expiresAt",
        "tokens[1].expiresAt",
        "tokens[1].reason",
        "tokens[2]",
        "tokens[3].expiresAt",
        "tokens[4]",
      ],
      ["expiredBefore"],
      ["createdAfter", "pageSize"],
    ]);
    expect((await failure(blacklist.isBlacklisted("a", { expiresAt: seconds }))).message).to.include(
      "exp * 1000",
    );
  });

  it("refuses misspelt options and fields in every call, and names the likely one", async () => {
    const odd = (value: unknown) => value as never;
    const violationsOf = async (call: Promise<unknown>) =>
      (await failure(call)).violations.map(({ field, description }) => `${field} ${description}`);
    const first = (options: unknown) => blacklist.list(odd(options))[Symbol.asyncIterator]().next();
    const token = { jti: "a", expiresAt: EXPIRES };
    const checkOptions = "maxStalenessMs, atLeastRevision, expiresAt, timeoutMs, signal, failFast";
    expect([
      await violationsOf(blacklist.isBlacklisted("a", odd({ maxStalenesMs: 0 }))),
      await violationsOf(blacklist.isBlacklisted("a", odd({ max_staleness_ms: 0, maxStalenessMs: 5 }))),
      await violationsOf(blacklist.isBlacklisted("a", odd({ freshness: "full" }))),
      await violationsOf(blacklist.isBlacklisted("a", odd(500))),
      await violationsOf(blacklist.isBlacklisted("a", odd(null))),
      await violationsOf(blacklist.areBlacklisted([], odd({ atleastRevision: "1-00", timeout: 5 }))),
      await violationsOf(blacklist.blacklist([token], odd({ timeoutMS: 5 }))),
      await violationsOf(
        blacklist.blacklist(
          odd([
            { ...token, reasn: "stolen" },
            { jit: "a", expires_at: 1 },
          ]),
        ),
      ),
      await violationsOf(blacklist.blacklist(odd([token]), odd(5))),
      await violationsOf(blacklist.prune(odd({ dryrun: true, expiredBefor: EXPIRES }))),
      await violationsOf(blacklist.prune(odd({ dryRun: "yes" }))),
      await violationsOf(first({ createdBefor: EXPIRES, revoked_by: "ann", includeExpired: 1 })),
      await violationsOf(first({ includeExpired: 1 })),
      await violationsOf(blacklist.ready(odd({ timeout: 5 }))),
    ]).to.deep.equal([
      ["maxStalenesMs is no option: was maxStalenessMs meant?"],
      ["max_staleness_ms is no option: was maxStalenessMs meant?"],
      [`freshness is no option: the options are ${checkOptions}`],
      [`options must be an object with any of ${checkOptions}`],
      [`options must be an object with any of ${checkOptions}`],
      [
        "atleastRevision is no option: was atLeastRevision meant?",
        "timeout is no option: was timeoutMs meant?",
      ],
      ["timeoutMS is no option: was timeoutMs meant?"],
      [
        "tokens[0].reasn is not read: was reason meant?",
        "tokens[1].jit is not read: was jti meant?",
        "tokens[1].expires_at is not read: was expiresAt meant?",
        "tokens[1] must have either jti or jwt",
      ],
      ["options must be an object with any of timeoutMs, signal"],
      ["dryrun is no option: was dryRun meant?", "expiredBefor is no option: was expiredBefore meant?"],
      ["dryRun must be true or false"],
      [
        "createdBefor is no option: was createdBefore meant?",
        "revoked_by is no option: was revokedBy meant?",
      ],
      ["includeExpired must be true or false"],
      ["timeout is no option: was timeoutMs meant?"],
    ]);
    // A method that never throws returns less instead.
    expect(blacklist.peek("a", odd({ maxStalenesMs: 9e9 }))).to.equal(undefined);
    expect(blacklist.peek("a", odd(null))).to.equal(undefined);
  });

  it("revokes tokens as it has listed them: unknown fields of a listed token are ignored", async () => {
    await blacklist.blacklist([{ jti: "a", expiresAt: EXPIRES }]);
    for await (const entry of blacklist.list()) {
      const { results } = await blacklist.blacklist([entry]);
      expect(results[0]?.outcome).to.equal("already-blacklisted");
    }
  });

  it("rejects, for any onUnavailable, when the service has lost the revision or never returned it", async () => {
    const lenient = connect({ address: service.address, onUnavailable: "allow" });
    await lenient.blacklist([{ jti: "a", expiresAt: EXPIRES }]);
    const codes = [];
    for (const atLeastRevision of ["1-0000000000000000", "nonsense"]) {
      codes.push((await failure(lenient.isBlacklisted("b", { atLeastRevision }))).code);
    }
    lenient.close();
    expect(codes).to.deep.equal(["FAILED_PRECONDITION", "INVALID_ARGUMENT"]);
  });
});

describe("connect", () => {
  it("refuses invalid options, all in one error", () => {
    const odd = (value: unknown) => value as never;
    const violations = (options: unknown) =>
      (thrownBy(() => connect(odd(options))) as { violations: { field: string }[] }).violations.map(
        ({ field }) => field,
      );
    expect([
      violations({ address: "", mode: "copy", onUnavailable: "Deny", timeoutMs: "5s" }),
      violations({ address: [] }),
      violations({}),
    ]).to.deep.equal([["address", "mode", "onUnavailable", "timeoutMs"], ["address"], ["address"]]);
  });

  it("refuses several addresses of different families", () => {
    const refused = (address: string[]) => (thrownBy(() => connect({ address })) as { code: string }).code;
    expect([
      refused(["gateway-a:50051", "gateway-b:50051"]),
      refused(["10.0.0.1:50051", "[::1]:50051"]),
      refused(["10.0.0.1", "10.0.0.2"]),
    ]).to.deep.equal(Array(3).fill("INVALID_ARGUMENT"));
  });

  it("refuses to send a caller's token to an address without TLS", () => {
    const credentials = clientCredentials({ token: "abc" });
    const address = ["127.0.0.1:50051", "10.0.0.2:50051"];
    expect((thrownBy(() => connect({ address, credentials })) as Error).message).to.include(
      "not sent without TLS",
    );
  });

  it("succeeds while the service is unavailable, and the checks fail", async () => {
    const away = connect({ address: "127.0.0.1:1", log: { warn() {} } });
    const error = (await rejection(away.isBlacklisted("a", { timeoutMs: 3000 }))) as { code: string };
    expect({ code: error.code, state: away.state }).to.deep.equal({
      code: "UNAVAILABLE",
      state: "unavailable",
    });
    away.close();
  });
});
