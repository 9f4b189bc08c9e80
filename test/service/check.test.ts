import { create, fromBinary } from "@bufbuild/protobuf";
import { DurationSchema } from "@bufbuild/protobuf/wkt";
import { expect } from "chai";
import {
  type IsBlacklistedRequest,
  StreamChecksRequestSchema,
  TokenBlacklist,
  Verdict,
} from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { MAX_SMALL_REQUEST_BYTES } from "../../src/limits.ts";
import { encode } from "../../src/protobuf/service-definition.ts";
import { Asker, CHECK_PATH, outcomeOf, type QuestionInit } from "../support/asker.ts";
import { backends, type FreshDatabase } from "../support/backends.ts";
import { TokenCallers } from "../support/callers.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { framed, Http2Connection } from "../support/http2-call.ts";
import { methodPath, RawChannel } from "../support/raw-channel.ts";
import { revoke, YEAR_2100 } from "../support/revoke.ts";
import { scrape } from "../support/scrape.ts";
import { randomFor } from "../support/seed.ts";
import { type RunningService, type ServiceOptions, startService } from "../support/service.ts";
import { ends } from "../support/stream-end.ts";
import { until } from "../support/until.ts";

const fine = [Verdict.NOT_BLACKLISTED];
const revoked = [Verdict.BLACKLISTED];

for (const backend of backends) {
  describe(`StreamChecks on ${backend.name}`, function () {
    this.timeout(60_000);
    let database: FreshDatabase;
    let running: RunningService[];
    let channels: RawChannel[];

    beforeEach(async () => {
      database = await backend.create();
      running = [];
      channels = [];
    });
    afterEach(async () => {
      for (const channel of channels) channel.close();
      await Promise.all(running.map((one) => one.stop()));
      await database.dispose();
    });

    async function startOn(options: Omit<ServiceOptions, "url"> = {}): Promise<RunningService> {
      const one = await startService({ url: database.url, ...options, env: { INDEX: "on", ...options.env } });
      running.push(one);
      if (options.env?.INDEX !== "off") await one.indexLoaded();
      return one;
    }

    function connect({ address }: RunningService): RawChannel {
      const channel = new RawChannel(address);
      channels.push(channel);
      return channel;
    }

    for (const index of ["on", "off"]) {
      it(`answers every question as IsBlacklisted does, with the index ${index}`, async () => {
        const service = await startOn({ env: { INDEX: index } });
        const known = Array.from({ length: 40 }, (_, number) => `known-${number}`);
        const revisions = [
          await revoke(service, ...known.slice(0, 20)),
          await revoke(service, ...known.slice(20)),
        ];
        const questionFrom = questions(randomFor(`questions, index ${index}`), { known, revisions });
        const channel = connect(service);
        const asker = new Asker(channel);
        const seen = new Set<string>();
        // From here on nothing changes, so that stale checks return the same revision.
        await service.client.isBlacklisted({ jtis: ["a"] });
        for (let round = 0; round < 30; round++) {
          const asked = Array.from({ length: 20 }, questionFrom);
          // All at once, on a stream and as calls.
          const streamed = Promise.all(asked.map((question) => asker.ask(question)));
          const called = Promise.all(
            asked.map(async (question = {}) =>
              outcomeOf(
                await channel.call(
                  methodPath("IsBlacklisted"),
                  encode(TokenBlacklist.method.isBlacklisted.input, question),
                ),
              ),
            ),
          );
          expect(await streamed).to.deep.equal(await called);
          for (const outcome of await streamed) {
            if (outcome === "unanswered") throw new Error("unreachable");
            seen.add("verdicts" in outcome ? "verdicts" : String(outcome.reason));
          }
        }
        expect([...seen].sort()).to.deep.equal(["INVALID_REQUEST", "REVISION_LOST", "verdicts"]);
        expect(await asker.done()).to.deep.equal(ends("OK"));
        expect(new Set(asker.answered).size).to.equal(600);
      });
    }

    it("includes every revocation acknowledged before the question, 500 times", async () => {
      const here = await startOn();
      // An embedded file has one replica.
      const elsewhere = backend.name === "sqlite" ? here : await startOn();
      const asker = new Asker(connect(here));
      const stale: string[] = [];
      for (let round = 0; round < 500; round++) {
        const jti = `round-${round}`;
        // Some in flight, and some not revoked.
        const earlier = round % 3 === 0 ? asker.verdicts(`never-${round}`) : undefined;
        await revoke(elsewhere, jti);
        const [verdicts] = await Promise.all([asker.verdicts(jti, "never"), earlier]);
        if (String(verdicts) !== String([...revoked, ...fine])) stale.push(`${jti}: ${verdicts}`);
      }
      expect(stale).to.deep.equal([]);
      asker.cancel();
    });

    it("honours a revision named by the caller, at any replica", async () => {
      const here = await startOn();
      const elsewhere = backend.name === "sqlite" ? here : await startOn();
      const [one, other] = [new Asker(connect(here)), new Asker(connect(elsewhere))];
      for (let round = 0; round < 50; round++) {
        const jtis = [`round-${round}`];
        const value = await revoke(elsewhere, ...jtis);
        const question: QuestionInit = { jtis, freshness: { case: "atLeastRevision", value } };
        const answers = await Promise.all([one.ask(question, { id: 9 }), other.ask(question, { id: 9 })]);
        for (const answer of answers) expect(answer).to.deep.include({ verdicts: revoked });
      }
      one.cancel();
      other.cancel();
    });

    it("continues after refused questions: invalid ones, empty ones, and invalid timeouts", async () => {
      const service = await startOn();
      await revoke(service, "a");
      const asker = new Asker(connect(service));
      const outcomes = [
        asker.ask({ jtis: ["a"] }),
        asker.ask(),
        asker.ask({ jtis: ["a"] }, { timeoutMs: -1 }),
        asker.ask({ jtis: ["b", "a", "b"] }, { timeoutMs: 5000 }),
        asker.ask({ jtis: [""] }),
        asker.ask({ jtis: ["b"] }),
      ];
      const told = (await Promise.all(outcomes)).map((outcome) => {
        if (outcome === "unanswered") return outcome;
        return "verdicts" in outcome ? outcome.verdicts : outcome.violations.map(([field]) => field);
      });
      expect(told).to.deep.equal([
        revoked,
        ["jtis"],
        ["timeout"],
        [...fine, ...revoked, ...fine],
        ["jtis[0]"],
        fine,
      ]);
      expect(await asker.done()).to.deep.equal(ends("OK"));
    });

    it("refuses a question that is too large, as a call is", async () => {
      const service = await startOn();
      await revoke(service, "a");
      const channel = connect(service);
      const asker = new Asker(channel);
      const huge = "h".repeat(3_000_000);
      const unknown = Buffer.concat([
        encode(TokenBlacklist.method.isBlacklisted.input, { jtis: ["a"] }),
        // An unknown field of 400 kB.
        Buffer.from([0xfa, 0x7f, 0x80, 0xb5, 0x18]),
        Buffer.alloc(400_000),
      ]);
      const cases: QuestionInit[] = [
        { jtis: [huge] },
        { jtis: ["a", huge, "ü".repeat(400_000)] },
        { jtis: ["a"], freshness: { case: "atLeastRevision", value: huge } },
        { jtis: [...Array.from({ length: 1000 }, () => "j".repeat(400)), ""] },
        fromBinary(TokenBlacklist.method.isBlacklisted.input, unknown),
      ];
      for (const question of cases) {
        const bytes = encode(TokenBlacklist.method.isBlacklisted.input, question);
        expect(bytes.length).to.be.above(MAX_SMALL_REQUEST_BYTES);
        const called = await channel.call(methodPath("IsBlacklisted"), bytes);
        expect(await asker.ask(question, { timeoutMs: 5000 })).to.deep.equal(outcomeOf(called));
      }
      const outcome = await asker.ask({ jtis: Array.from({ length: 2_000_000 }, () => "") });
      expect(outcome).to.deep.include({ code: "INVALID_ARGUMENT", reason: "INVALID_REQUEST" });
      expect(await asker.verdicts("a")).to.deep.equal(revoked);
      expect(await asker.done()).to.deep.equal(ends("OK"));
    });

    it("refuses bytes that are not a message, and ends the stream", async () => {
      const service = await startOn();
      const channel = connect(service);
      const bytes = [
        Buffer.from([0xff]),
        Buffer.from([0x12, 5, 1]),
        // A jti that is not UTF-8.
        Buffer.from([0x12, 3, 0x0a, 1, 0xff]),
        encode(
          StreamChecksRequestSchema,
          create(StreamChecksRequestSchema, { question: { jtis: ["a"] } }),
        ).subarray(0, -1),
      ];
      for (const one of bytes) {
        const asker = new Asker(channel);
        expect(await asker.verdicts("a")).to.deep.equal(fine);
        asker.stream.write(one);
        expect(await asker.ended).to.deep.equal(ends("INVALID_ARGUMENT", "INVALID_REQUEST", ""));
      }
    });

    it("survives arbitrary bytes: every stream is refused or served", async () => {
      const service = await startOn();
      await revoke(service, "a");
      const channel = connect(service);
      const random = randomFor("hostile check");
      const question = { jtis: ["a"], freshness: { case: "maxStaleness" as const, value: { seconds: 5n } } };
      const message = encode(
        StreamChecksRequestSchema,
        create(StreamChecksRequestSchema, { id: 300, question, timeout: { seconds: 5n } }),
      );
      const codes = new Set<string>();
      for (let round = 0; round < 20; round++) {
        const streams = Array.from({ length: 25 }, () => {
          const stream = channel.open(CHECK_PATH);
          for (let count = 0; count < 3; count++) {
            const bytes = Buffer.from(message);
            for (let flips = Math.floor(random() * 3); flips > 0; flips--)
              bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
            stream.write(random() < 0.1 ? bytes.subarray(Math.floor(random() * bytes.length)) : bytes);
          }
          stream.on("error", () => {});
          stream.on("data", (bytes: Buffer) => fromBinary(TokenBlacklist.method.streamChecks.output, bytes));
          stream.end();
          return new Promise<number>((resolve) => stream.on("status", ({ code }) => resolve(code)));
        });
        for (const code of await Promise.all(streams)) codes.add(code === 0 ? "OK" : `${code}`);
      }
      expect([...codes].sort()).to.deep.equal(["3", "OK"]);
      const asker = new Asker(channel);
      const verdicts = await asker.verdicts("a", "b");
      expect([verdicts, await asker.done()]).to.deep.equal([[...revoked, ...fine], ends("OK")]);
      await balanced(service);
    });

    it("survives invalid framing and truncated bodies", async () => {
      const service = await startOn();
      const http2 = await Http2Connection.open(service.address);
      const good = framed(
        encode(StreamChecksRequestSchema, create(StreamChecksRequestSchema, { question: { jtis: ["a"] } })),
      );
      const bodies: Record<string, Buffer> = {
        "nothing at all": Buffer.alloc(0),
        "half of a message": Buffer.concat([good, good.subarray(0, -1)]),
        "half of a head": Buffer.concat([good, good.subarray(0, 3)]),
        "a message that says it is compressed": framed(Buffer.from([1]), { compressed: true }),
        "a message over 4 MiB": framed(Buffer.alloc(4 * 1024 * 1024 + 1)),
        "a length of 4 GiB": framed(Buffer.from([1]), { length: 2 ** 32 - 1 }),
      };
      const codes: Record<string, unknown> = {};
      for (const [name, body] of Object.entries(bodies)) {
        codes[name] = (await http2.send(CHECK_PATH, body)).code;
      }
      expect(codes).to.deep.equal({
        "nothing at all": "OK",
        "half of a message": "OK",
        "half of a head": "OK",
        "a message that says it is compressed": "INVALID_ARGUMENT",
        "a message over 4 MiB": "RESOURCE_EXHAUSTED",
        "a length of 4 GiB": "RESOURCE_EXHAUSTED",
      });
      await http2.close();
      await balanced(service);
    });

    /** All calls have ended, and were counted once. */
    async function balanced({ adminUrl }: RunningService): Promise<void> {
      const sums = async () => {
        const metrics = await scrape(adminUrl);
        const sum = (name: string, method: string) =>
          (metrics.get(name)?.series ?? [])
            .filter(({ labels }) => labels.grpc_method === method && labels.grpc_type === "bidi_stream")
            .reduce((total, { value }) => total + value, 0);
        return ["StreamChecks", "IsBlacklisted"].map((method) => [
          sum("grpc_server_started_total", method),
          sum("grpc_server_handled_total", method),
        ]);
      };
      await until(async () => (await sums()).every(([begun, ended]) => begun === ended && begun !== 0), {
        withinMs: 3000,
        what: "all calls have ended",
      });
    }

    it("puts no jtis and revisions into logs and errors", async () => {
      const service = await startOn({ env: { AUDIT_LOG: "off" } });
      const asker = new Asker(connect(service));
      const secret = "c4n4ry";
      const outcomes = [
        await asker.ask({ jtis: [secret] }),
        await asker.ask({ jtis: [`${secret}\0`, secret.repeat(50)] }),
        await asker.ask({ jtis: [secret], freshness: { case: "atLeastRevision", value: secret } }),
      ];
      asker.stream.write(Buffer.concat([Buffer.from([0x12, 0xff]), Buffer.from(secret)]));
      expect(await asker.ended).to.deep.equal(ends("INVALID_ARGUMENT", "INVALID_REQUEST", ""));
      const calls = () => service.logs().filter(({ msg }) => msg === "call");
      await until(() => calls().length === 4, { withinMs: 2000, what: "all have ended" });
      expect(calls().map(({ method, code }) => `${method} ${code}`)).to.deep.equal([
        "IsBlacklisted OK",
        "IsBlacklisted INVALID_ARGUMENT",
        "IsBlacklisted INVALID_ARGUMENT",
        "StreamChecks INVALID_ARGUMENT",
      ]);
      expect(JSON.stringify(outcomes) + service.logText()).not.to.include(secret);
      const metrics = await (await fetch(`${service.adminUrl}/metrics`)).text();
      expect(metrics).not.to.include(secret);
    });

    it("ends with DRAINING in time when the service stops, even for a client that reads nothing", async () => {
      const service = await startOn({ env: { SHUTDOWN_GRACE: "3s" } });
      const channel = connect(service);
      const askers = Array.from({ length: 20 }, () => new Asker(channel));
      for (const asker of askers) await asker.verdicts("a");
      const stuck = await Http2Connection.open(service.address);
      const stream = stuck.session.request({
        ":method": "POST",
        ":path": CHECK_PATH,
        "content-type": "application/grpc",
        te: "trailers",
      });
      stream.on("error", () => {});
      const jtis = Array.from({ length: 1000 }, (_, index) => `${index}`);
      const many = framed(
        encode(StreamChecksRequestSchema, create(StreamChecksRequestSchema, { question: { jtis } })),
      );
      stream.write(Buffer.concat(Array.from({ length: 100 }, () => many)));
      const asked = () => service.logs().filter(({ method }) => method === "IsBlacklisted").length;
      await until(() => asked() >= 20 + 64, { withinMs: 5000, what: "it is asked a lot" });
      const began = performance.now();
      await service.service.close();
      expect(performance.now() - began).to.be.below(3000);
      expect(await Promise.all(askers.map((one) => one.ended))).to.deep.equal(
        askers.map(() => ends("UNAVAILABLE", "DRAINING")),
      );
      await stuck.close();
    });

    describe("with authentication", () => {
      let tokens: TokenCallers;
      let env: Readonly<Record<string, string>>;
      const bearer = (claims: object = {}) => tokens.bearer(claims);

      beforeEach(async () => {
        tokens = await TokenCallers.create();
        ({ env } = tokens);
      });

      const callers = (service: RunningService, method: string) =>
        service.logs().flatMap((line) => (line.method === method ? [[line.code, line.caller]] : []));

      it("needs the role check and a valid credential", async () => {
        const service = await startOn({ env });
        const cases: Record<string, [readonly string[], ReturnType<typeof ends>]> = {
          "no credential": [[], ends("UNAUTHENTICATED", "UNAUTHENTICATED")],
          "an expired one": [await bearer({ exp: 1 }), ends("UNAUTHENTICATED", "UNAUTHENTICATED")],
          "all other roles": [
            await bearer({ scope: "revoke list prune" }),
            ends("PERMISSION_DENIED", "PERMISSION_DENIED"),
          ],
        };
        for (const [name, [authorization, expected]] of Object.entries(cases)) {
          const asker = new Asker(connect(service), { authorization });
          const seen = [await asker.verdicts("a"), await asker.ended];
          expect([name, ...seen]).to.deep.equal([name, "unanswered", expected]);
        }
        const asker = new Asker(connect(service), { authorization: await bearer() });
        expect([await asker.verdicts("a"), await asker.done()]).to.deep.equal([fine, ends("OK")]);
        await until(() => callers(service, "StreamChecks").length === 4, {
          withinMs: 2000,
          what: "all have ended",
        });
        expect([callers(service, "StreamChecks"), callers(service, "IsBlacklisted")]).to.deep.equal([
          [
            ["UNAUTHENTICATED", undefined],
            ["UNAUTHENTICATED", undefined],
            ["PERMISSION_DENIED", "gateway"],
            ["OK", "gateway"],
          ],
          [["OK", "gateway"]],
        ]);
      });

      it("refuses questions once the caller's token has expired, and keeps the stream", async () => {
        const clock = new FakeClock(Date.now());
        const service = await startOn({ env, clock });
        const exp = Math.floor(clock.now() / 1000) + 20;
        const channel = connect(service);
        const [short, long] = [
          new Asker(channel, { authorization: await bearer({ exp }) }),
          new Asker(channel, { authorization: await bearer() }),
        ] as const;
        expect([await short.verdicts("a"), await long.verdicts("a")]).to.deep.equal([fine, fine]);
        // The database's clock advances meanwhile.
        clock.advance(exp * 1000 - clock.now() - 5000);
        expect([await short.verdicts("a"), await long.verdicts("a")]).to.deep.equal([fine, fine]);
        clock.advance(5000);
        for (let again = 0; again < 2; again++) {
          expect(await short.ask({ jtis: ["a"] })).to.deep.include({
            code: "UNAUTHENTICATED",
            reason: "UNAUTHENTICATED",
            message: "the bearer token has expired",
          });
        }
        expect(await long.verdicts("a")).to.deep.equal(fine);
        expect([await short.done(), await long.done()]).to.deep.equal([ends("OK"), ends("OK")]);
      });

      it("refuses questions once the caller's token is blacklisted, at any replica", async () => {
        const here = await startOn({ env });
        const elsewhere = backend.name === "sqlite" ? here : await startOn({ env });
        const channel = connect(here);
        const authorization = await bearer({ jti: "own" });
        const own = new Asker(channel, { authorization });
        const other = new Asker(channel, { authorization: await bearer({ jti: "other" }) });
        expect([await own.verdicts("own"), await other.verdicts("own")]).to.deep.equal([fine, fine]);
        const tokens = [{ token: { case: "jti" as const, value: "own" }, expiresAt: YEAR_2100 }];
        const { code } = await connect(elsewhere).call(
          methodPath("Blacklist"),
          encode(TokenBlacklist.method.blacklist.input, { tokens }),
          { authorization: await bearer({ jti: "third", scope: "revoke" }) },
        );
        const outcomes = await Promise.all([own.ask({ jtis: ["a"] }), own.ask({ jtis: ["own"] }), own.ask()]);
        expect([code, await other.verdicts("own")]).to.deep.equal(["OK", revoked]);
        const told = outcomes.map((outcome) => (outcome as { reason?: string }).reason);
        // A question is validated before its caller is checked, as in a call.
        expect(told).to.deep.equal(["UNAUTHENTICATED", "UNAUTHENTICATED", "INVALID_REQUEST"]);
        expect(await new Asker(channel, { authorization }).verdicts("a")).to.equal("UNAUTHENTICATED");
        expect([await own.done(), await other.done()]).to.deep.equal([ends("OK"), ends("OK")]);
      });
    });
  });
}

/** Questions of every kind, valid and invalid. */
function questions(
  random: () => number,
  { known, revisions }: { known: readonly string[]; revisions: readonly string[] },
): () => QuestionInit | undefined {
  const below = (count: number) => Math.floor(random() * count);
  const oneOf = <T>(choices: readonly T[]): T => choices[below(choices.length)] as T;
  const [latest = ""] = revisions.slice(-1);
  const [number = "", stamp = ""] = latest.split("-");
  const otherStamp = stamp.replace(/^./, (digit) => (digit === "0" ? "1" : "0"));
  const badJtis = ["", "\0", "j".repeat(256), "ü".repeat(128)];
  const named = [
    ...revisions,
    `${number}-${otherStamp}`,
    `${Number(number) + 1000}-${stamp}`,
    "",
    "x",
    `${latest} `,
  ];
  const staleness = [
    { seconds: 0n, nanos: 0 },
    { seconds: 3600n, nanos: 0 },
    { seconds: 0n, nanos: 999_999 },
    { seconds: -1n, nanos: 0 },
    { seconds: 1n, nanos: -1 },
    { seconds: 2n ** 62n, nanos: 0 },
  ];
  const freshnesses: readonly IsBlacklistedRequest["freshness"][] = [
    ...named.map((value) => ({ case: "atLeastRevision" as const, value })),
    ...staleness.map((init) => ({ case: "maxStaleness" as const, value: create(DurationSchema, init) })),
  ];
  const jti = () =>
    random() < 0.4 ? oneOf(known) : random() < 0.02 ? oneOf(badJtis) : `never-${below(1000)}`;
  return () => {
    const kind = random();
    if (kind < 0.03) return undefined;
    const size = kind < 0.06 ? 0 : kind < 0.09 ? 1001 + below(3) : kind < 0.12 ? 1000 : 1 + below(12);
    const jtis = Array.from({ length: size }, jti);
    if (random() < 0.2 && size > 1) jtis[size - 1] = jtis[0] as string;
    return random() < 0.5 ? { jtis } : { jtis, freshness: oneOf(freshnesses) };
  };
}
