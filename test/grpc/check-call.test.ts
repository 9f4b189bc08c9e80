import { once } from "node:events";
import { type ClientHttp2Stream, constants } from "node:http2";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { expect } from "chai";
import {
  type IsBlacklistedRequest,
  type IsBlacklistedResponseSchema,
  StreamChecksRequestSchema,
  TokenBlacklist,
  Verdict,
} from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { Admission, MAX_CALLS } from "../../src/admission/admission.ts";
import type { KnownCaller } from "../../src/caller.ts";
import { ServiceError, storeUnavailable, unauthenticated } from "../../src/errors.ts";
import { openCheckStreams, STREAM_TICK_MS } from "../../src/grpc/check-call.ts";
import { TOKEN_BLACKLIST } from "../../src/grpc/methods.ts";
import {
  DEFAULT_DEADLINE_MS,
  MAX_QUESTION_METADATA,
  MAX_QUESTION_METADATA_BYTES,
  MAX_STREAM_QUESTIONS,
  MAX_STREAM_STALL_MS,
  MAX_UNSENT_BYTES,
  STREAM_END_MS,
} from "../../src/limits.ts";
import { LogSampling } from "../../src/logging/log-sampling.ts";
import { Metrics } from "../../src/metrics/metrics.ts";
import { type Principal, UNAUTHENTICATED_PRINCIPAL, UNRESTRICTED_PRINCIPAL } from "../../src/principal.ts";
import { encode, methodDefinition } from "../../src/protobuf/service-definition.ts";
import { Asker, CHECK_PATH, type Outcome, type Refusal } from "../support/asker.ts";
import { callEnvironment } from "../support/call-environment.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { turn } from "../support/held-store.ts";
import { framed, Http2Connection } from "../support/http2-call.ts";
import { memoryInUse } from "../support/memory-in-use.ts";
import { memoryLog } from "../support/memory-log.ts";
import { RawChannel } from "../support/raw-channel.ts";
import { parseMetrics } from "../support/scrape.ts";
import { ends } from "../support/stream-end.ts";
import { until } from "../support/until.ts";

const MOST = 3;
const PATIENCE = { withinMs: 3000 };

type Answer = MessageInitShape<typeof IsBlacklistedResponseSchema>;

/** A question that has reached the handler, and waits. */
interface Held {
  readonly name: string;
  readonly caller: KnownCaller;
  answer(value?: Answer): void;
  fail(error: unknown): void;
}

/** A connection whose streams send many questions and read nothing. */
interface Greedy {
  readonly connection: Http2Connection;
  readonly streams: readonly ClientHttp2Stream[];
}

const FINE: Answer = { verdicts: [Verdict.NOT_BLACKLISTED], revision: "r" };
const fine: Outcome = { verdicts: [Verdict.NOT_BLACKLISTED], revision: "r" };

const refusal = (
  code: Refusal["code"],
  { reason = code, message, retryAfterMs, violations = [] }: Partial<Omit<Refusal, "code">>,
) => ({ code, reason, message, retryAfterMs, violations });
const late = (ms: number) =>
  refusal("DEADLINE_EXCEEDED", { message: `not answered within ${ms} ms`, retryAfterMs: undefined });

describe("the streams of StreamChecks", () => {
  let clock: FakeClock;
  let calls: Admission;
  let metrics: Metrics;
  let log: ReturnType<typeof memoryLog>;
  let server: Server;
  let address: string;
  let streams: ReturnType<typeof openCheckStreams>;
  let channel: RawChannel;
  let http2: Http2Connection[];
  let authenticate: () => Principal | Promise<Principal>;
  let disconnected: string[];
  /** All questions so far, in order. */
  let asked: Held[];
  /** The handler's immediate answer; undefined: questions wait. */
  let atOnce: ((request: IsBlacklistedRequest) => Answer) | undefined;

  beforeEach(async () => {
    clock = new FakeClock();
    calls = new Admission();
    metrics = new Metrics({ version: "1.2.3", node: "20", schema: 4 });
    log = memoryLog();
    authenticate = () => UNRESTRICTED_PRINCIPAL;
    disconnected = [];
    http2 = [];
    asked = [];
    atOnce = undefined;
    const handler = (request: IsBlacklistedRequest, caller: KnownCaller): Answer | Promise<Answer> => {
      const [name = ""] = request.jtis;
      if (atOnce !== undefined) return atOnce(request);
      return new Promise((resolve, reject) => {
        asked.push({ name, caller, answer: (value = FINE) => resolve(value), fail: reject });
      });
    };
    streams = openCheckStreams(handler, {
      environment: callEnvironment({
        log: log.log,
        sampling: new LogSampling(new FakeClock()),
        authenticate: () => authenticate(),
        clock,
        calls,
        metrics,
      }),
      disconnect: (peer) => disconnected.push(peer),
      most: MOST,
      perCaller: MOST,
    });
    server = new Server();
    const definition = methodDefinition(TokenBlacklist.method.streamChecks);
    const requestDeserialize = TOKEN_BLACKLIST.streamChecks.bound?.(definition.requestDeserialize);
    server.addService({ streamChecks: { ...definition, requestDeserialize } } as never, {
      streamChecks: streams.handle,
    });
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      );
    });
    address = `127.0.0.1:${port}`;
    channel = new RawChannel(address);
  });
  afterEach(async () => {
    channel.close();
    await Promise.all(http2.map((one) => one.close()));
    server.forceShutdown();
  });

  const reached = (count: number) =>
    until(() => asked.length >= count, { ...PATIENCE, what: `${count} questions have arrived` });
  const names = (from = 0) => asked.slice(from).map(({ name }) => name);
  const askMany = (asker: Asker, count: number, from = 0) =>
    Array.from({ length: count }, (_, index) => asker.ask({ jtis: [`q${from + index}`] }));
  const nothingIsLeft = () =>
    until(() => calls.active === 0 && clock.pendingTimers === 0, {
      ...PATIENCE,
      what: "no call or timer is left",
    });

  /** Resolves when everything sent before on this connection has arrived. */
  async function arrived(): Promise<void> {
    const other = new Asker(channel);
    const answer = other.ask({ jtis: ["marker"] });
    const isMarker = ({ name }: Held) => name === "marker";
    if (atOnce === undefined) {
      await until(() => asked.some(isMarker), { ...PATIENCE, what: "the marker has arrived" });
      for (const marker of asked.splice(asked.findIndex(isMarker), 1)) marker.answer();
    }
    await answer;
    await other.done();
  }

  /** A stream of a bare connection, since a gRPC library reads ahead. Its questions are sent in one piece. */
  async function openBare(questions: readonly string[]) {
    const connection = await Http2Connection.open(address);
    http2.push(connection);
    return { connection, stream: begin(connection, questions) };
  }

  function begin(connection: Http2Connection, questions: readonly string[]): ClientHttp2Stream {
    const stream = connection.session.request({
      ":method": "POST",
      ":path": CHECK_PATH,
      "content-type": "application/grpc",
      te: "trailers",
    });
    stream.on("error", () => {});
    const messages = questions.map((name, id) => {
      const message = create(StreamChecksRequestSchema, { id, question: { jtis: [name] } });
      return framed(encode(StreamChecksRequestSchema, message));
    });
    stream.write(Buffer.concat(messages));
    return stream;
  }

  const many = (count: number) => Array.from({ length: count }, (_, index) => `q${index}`);

  it("send each answer as soon as it is known, in any order, with the question's id", async () => {
    const asker = new Asker(channel);
    const outcomes = ["a", "b", "c"].map((name, index) =>
      asker.ask({ jtis: [name] }, { id: [7, 2 ** 32 - 1, 0][index] as number }),
    );
    await reached(3);
    for (const [index, revision] of [
      [1, "of b"],
      [2, "of c"],
      [0, "of a"],
    ] as const) {
      asked[index]?.answer({ verdicts: [Verdict.BLACKLISTED], revision });
      await outcomes[index];
    }
    expect([asker.answered, await Promise.all(outcomes)]).to.deep.equal([
      [2 ** 32 - 1, 0, 7],
      ["of a", "of b", "of c"].map((revision) => ({ verdicts: [Verdict.BLACKLISTED], revision })),
    ]);
    expect(await asker.done()).to.deep.equal(ends("OK"));
  });

  it("accept an id again once its question is answered", async () => {
    atOnce = ({ jtis }) => ({ verdicts: [], revision: jtis.join() });
    const asker = new Asker(channel);
    const seen: unknown[] = [];
    for (const name of ["a", "b", "c"]) seen.push(await asker.ask({ jtis: [name] }, { id: 5 }));
    expect([seen, asker.answered]).to.deep.equal([
      ["a", "b", "c"].map((revision) => ({ verdicts: [], revision })),
      [5, 5, 5],
    ]);
    asker.cancel();
  });

  it("read at most 64 unanswered questions, and another one after each answer", async () => {
    expect(MAX_STREAM_QUESTIONS).to.equal(64);
    const asker = new Asker(channel);
    const outcomes = askMany(asker, 100);
    await reached(64);
    await arrived();
    expect([names(), calls.active]).to.deep.equal([many(64), 64]);
    for (const index of [63, 10, 0]) {
      const before = asked.length;
      asked[index]?.answer();
      await reached(before + 1);
      await arrived();
      expect(names()).to.deep.equal(many(before + 1));
    }
    for (let next = 0; next < 100; next++) {
      await reached(next + 1);
      asked[next]?.answer();
    }
    expect([await Promise.all(outcomes), await asker.done(), names()]).to.deep.equal([
      many(100).map(() => fine),
      ends("OK"),
      many(100),
    ]);
  });

  it("continue to be read while questions of another stream wait", async () => {
    const stuck = new Asker(channel);
    void askMany(stuck, 100);
    await reached(64);
    const other = new Asker(channel);
    const outcomes = askMany(other, 3, 500);
    await reached(67);
    for (const held of asked.slice(64)) held.answer();
    expect(await Promise.all(outcomes)).to.deep.equal([fine, fine, fine]);
    stuck.cancel();
    other.cancel();
  });

  it("count each question as a call in flight", async () => {
    const asker = new Asker(channel);
    for (let count = 0; count < MAX_CALLS - 2; count++) calls.enter({ peer: "another" });
    const outcomes = askMany(asker, 3);
    const refused = await outcomes[2];
    expect(refused).to.deep.equal(
      refusal("RESOURCE_EXHAUSTED", {
        reason: "OVERLOADED",
        message: "too many calls are in flight",
        retryAfterMs: 250,
      }),
    );
    expect(calls.active).to.equal(MAX_CALLS);
    await reached(2);
    for (const held of asked) held.answer();
    expect(await Promise.all(outcomes.slice(0, 2))).to.deep.equal([fine, fine]);
    expect(calls.active).to.equal(MAX_CALLS - 2);
    expect(await asker.done()).to.deep.equal(ends("OK"));
  });

  it("are refused at the limit of calls in flight, and do not count towards it", async () => {
    const asker = new Asker(channel);
    atOnce = () => FINE;
    await asker.ask({ jtis: ["a"] });
    expect(calls.active).to.equal(0);
    for (let count = 0; count < MAX_CALLS; count++) calls.enter({ peer: "another" });
    expect(await new Asker(channel).ended).to.deep.equal(ends("RESOURCE_EXHAUSTED", "OVERLOADED"));
    expect(calls.active).to.equal(MAX_CALLS);
    asker.cancel();
  });

  it("are limited in number, with or without questions; one that has ended makes room", async () => {
    atOnce = () => FINE;
    const served = [new Asker(channel), new Asker(channel)];
    for (const one of served) await one.ask({ jtis: ["a"] });
    // The third has no question, but counts as well: the fourth comes after it on the same connection.
    const silent = new Asker(channel);
    expect(await new Asker(channel).ended).to.deep.equal(ends("RESOURCE_EXHAUSTED", "OVERLOADED"));
    served[0]?.cancel();
    const isRoom = async () => (await new Asker(channel).ask({ jtis: ["a"] })) !== "unanswered";
    await until(isRoom, { ...PATIENCE, what: "there is room again" });
    silent.cancel();
  });

  describe("and timeouts", () => {
    it("a question has its own timeout, by default ten seconds; the others continue", async () => {
      const asker = new Asker(channel);
      const patient = asker.ask({ jtis: ["patient"] }, { timeoutMs: 60_000 });
      const usual = asker.ask({ jtis: ["usual"] });
      const hasty = asker.ask({ jtis: ["hasty"] }, { timeoutMs: 250 });
      await reached(3);
      clock.advance(249);
      await arrived();
      expect(asker.waiting).to.equal(3);
      clock.advance(1);
      expect(await hasty).to.deep.equal(late(250));
      clock.advance(DEFAULT_DEADLINE_MS - 251);
      await arrived();
      expect(asker.waiting).to.equal(2);
      clock.advance(1);
      expect(await usual).to.deep.equal(late(10_000));
      asked[0]?.answer();
      expect([await patient, calls.active]).to.deep.equal([fine, 0]);
      expect(await asker.done()).to.deep.equal(ends("OK"));
    });

    it("a handler that answers too late sees that its caller is gone, and its answer is dropped: another question may have the id", async () => {
      const asker = new Asker(channel);
      const first = asker.ask({ jtis: ["first"] }, { id: 1, timeoutMs: 100 });
      await reached(1);
      expect(asked[0]?.caller.isGone).to.equal(false);
      clock.advance(100);
      expect([await first, asked[0]?.caller.isGone]).to.deep.equal([late(100), true]);
      const second = asker.ask({ jtis: ["second"] }, { id: 1 });
      await reached(2);
      asked[0]?.answer({ verdicts: [Verdict.NOT_BLACKLISTED], revision: "late" });
      await arrived();
      expect(asker.waiting).to.equal(1);
      asked[1]?.answer({ verdicts: [Verdict.BLACKLISTED], revision: "second" });
      expect([await second, asker.answered]).to.deep.equal([
        { verdicts: [Verdict.BLACKLISTED], revision: "second" },
        [1, 1],
      ]);
      const third = asker.ask({ jtis: ["third"] }, { id: 1, timeoutMs: 100 });
      await reached(3);
      clock.advance(100);
      await third;
      asked[2]?.fail(new Error("late as well"));
      await arrived();
      expect([asker.answered, calls.active]).to.deep.equal([[1, 1, 1], 0]);
      asker.cancel();
    });

    it("a question whose timeout is zero is DEADLINE_EXCEEDED", async () => {
      const asker = new Asker(channel);
      const outcome = asker.ask({ jtis: ["a"] }, { timeoutMs: 0 });
      await reached(1);
      clock.advance(0);
      expect(await outcome).to.deep.equal(late(0));
      asker.cancel();
    });

    it("an invalid timeout is refused for that question alone", async () => {
      atOnce = () => FINE;
      const asker = new Asker(channel);
      const cases = [
        { seconds: -1n, nanos: 0 },
        { seconds: 0n, nanos: -1 },
        { seconds: 1n, nanos: 1_000_000_000 },
        { seconds: 315_576_000_001n, nanos: 0 },
        { seconds: -(2n ** 63n), nanos: -(2 ** 31) },
      ];
      const question = { jtis: ["a"] };
      const outcomes = cases.map((timeout, index) => asker.send({ id: 100 + index, question, timeout }));
      const longest = asker.send({ id: 1, question, timeout: { seconds: 315_576_000_000n, nanos: 0 } });
      const refused = (text: string) =>
        refusal("INVALID_ARGUMENT", {
          reason: "INVALID_REQUEST",
          message: `timeout: ${text}`,
          violations: [["timeout", text]],
          retryAfterMs: undefined,
        });
      const tooLong = "must be at most 315576000000 s, which are 10,000 years";
      expect([await Promise.all(outcomes), await longest, calls.active]).to.deep.equal([
        cases.map(({ seconds }) =>
          refused(seconds > 315_576_000_000n ? tooLong : "must be a duration that is not negative"),
        ),
        fine,
        0,
      ]);
      expect(await asker.done()).to.deep.equal(ends("OK"));
    });

    it("metadata out of bounds or with credentials is refused, for that question alone", async () => {
      atOnce = () => FINE;
      const asker = new Asker(channel);
      const named = (count: number) =>
        Object.fromEntries(Array.from({ length: count }, (_, index) => [`name-${index}`, "x"]));
      const most = { traceparent: "x".repeat(MAX_QUESTION_METADATA_BYTES - "traceparent".length) };
      const cases: [metadata: Record<string, string>, text: string][] = [
        [named(MAX_QUESTION_METADATA + 1), "must have at most 16 names"],
        [named(5000), "must have at most 16 names"],
        [{ ...most, a: "" }, "must have at most 8192 bytes, names included"],
        [
          { Authorization: "Bearer x" },
          "must not have the name authorization: credentials are those of the stream",
        ],
      ];
      const question = { jtis: ["a"] };
      const refused = await Promise.all(cases.map(([metadata]) => asker.ask(question, { metadata })));
      const accepted = [most, named(MAX_QUESTION_METADATA), {}].map((metadata) =>
        asker.ask(question, { metadata }),
      );
      expect([refused, await Promise.all(accepted), calls.active]).to.deep.equal([
        cases.map(([, text]) =>
          refusal("INVALID_ARGUMENT", {
            reason: "INVALID_REQUEST",
            message: `metadata.values: ${text}`,
            violations: [["metadata.values", text]],
            retryAfterMs: undefined,
          }),
        ),
        [fine, fine, fine],
        0,
      ]);
      expect(await asker.done()).to.deep.equal(ends("OK"));
    });

    it("the longest timeout is bounded by the longest timer", async () => {
      const asker = new Asker(channel);
      const question = { jtis: ["a"] };
      const outcome = asker.send({ id: 1, question, timeout: { seconds: 315_576_000_000n, nanos: 0 } });
      await reached(1);
      clock.advance(24 * 3_600_000);
      await arrived();
      expect(asker.waiting).to.equal(1);
      asked[0]?.answer();
      expect(await outcome).to.deep.equal(fine);
      asker.cancel();
    });
  });

  describe("and errors", () => {
    it("a failed question has the status of a failed call, and the others are unaffected", async () => {
      const asker = new Asker(channel);
      const outcomes = askMany(asker, 5);
      await reached(5);
      asked[0]?.fail(storeUnavailable("the database is away"));
      asked[1]?.fail(new Error("unexpected s3cret"));
      // Not expressible in this format.
      asked[2]?.answer({ verdicts: ["x" as unknown as Verdict], revision: "r" });
      asked[3]?.fail(new ServiceError("REVISION_LOST", "it is lost"));
      asked[4]?.answer();
      const internal = refusal("INTERNAL", { message: "internal error", retryAfterMs: undefined });
      expect(await Promise.all(outcomes)).to.deep.equal([
        refusal("UNAVAILABLE", {
          reason: "STORE_UNAVAILABLE",
          message: "the database is away",
          retryAfterMs: 500,
        }),
        internal,
        internal,
        refusal("FAILED_PRECONDITION", {
          reason: "REVISION_LOST",
          message: "it is lost",
          retryAfterMs: undefined,
        }),
        fine,
      ]);
      expect(await asker.done()).to.deep.equal(ends("OK"));
      expect(log.lines.filter((line) => line.includes("s3cret"))).to.have.length(1);
    });

    it("an error that is thrown synchronously is no different", async () => {
      const asker = new Asker(channel);
      atOnce = () => {
        throw storeUnavailable("the database is away");
      };
      expect(await asker.verdicts("a")).to.equal("STORE_UNAVAILABLE");
      atOnce = () => FINE;
      expect([await asker.verdicts("a"), calls.active]).to.deep.equal([[Verdict.NOT_BLACKLISTED], 0]);
      asker.cancel();
    });

    it("a malformed message ends the stream, and earlier questions get no answer", async () => {
      const asker = new Asker(channel);
      const outcome = asker.ask({ jtis: ["a"] });
      await reached(1);
      asker.stream.write(Buffer.from([0xff]));
      expect([await asker.ended, await outcome, asked[0]?.caller.isGone]).to.deep.equal([
        ends("INVALID_ARGUMENT", "INVALID_REQUEST", ""),
        "unanswered",
        true,
      ]);
      asked[0]?.answer();
      await nothingIsLeft();
      expect(disconnected).to.deep.equal([]);
    });

    it("a failed authentication is reported: at the start of the stream, and for each question", async () => {
      for (const answer of [
        () => Promise.reject(new Error("unforeseen")),
        () => {
          throw new Error("unforeseen");
        },
      ]) {
        authenticate = answer;
        expect(await new Asker(channel).ended).to.deep.equal(ends("INTERNAL", "INTERNAL"));
      }
      authenticate = () => UNRESTRICTED_PRINCIPAL;
      atOnce = () => FINE;
      const asker = new Asker(channel);
      const seen: unknown[] = [await asker.verdicts("a")];
      const told: (() => Principal | Promise<Principal>)[] = [
        () => Promise.reject(unauthenticated("the token has expired")),
        () => {
          throw unauthenticated("the token has expired");
        },
        () => UNAUTHENTICATED_PRINCIPAL,
        async () => UNAUTHENTICATED_PRINCIPAL,
        () => Promise.reject(new Error("unforeseen")),
        async () => UNRESTRICTED_PRINCIPAL,
      ];
      for (authenticate of told) seen.push(await asker.verdicts("a"));
      const good = [Verdict.NOT_BLACKLISTED];
      expect(seen).to.deep.equal([
        ...[good, "UNAUTHENTICATED", "UNAUTHENTICATED", "PERMISSION_DENIED", "PERMISSION_DENIED"],
        ...["INTERNAL", good],
      ]);
      expect([await asker.done(), calls.active]).to.deep.equal([ends("OK"), 0]);
    });

    it("a question times out while its caller is being authenticated", async () => {
      atOnce = () => FINE;
      const asker = new Asker(channel);
      await asker.verdicts("a");
      let know = (_: Principal) => {};
      let isAsked = false;
      authenticate = () => {
        isAsked = true;
        return new Promise((resolve) => {
          know = resolve;
        });
      };
      const outcome = asker.ask({ jtis: ["b"] }, { timeoutMs: 100 });
      await until(() => isAsked, { ...PATIENCE, what: "the caller is being authenticated" });
      clock.advance(100);
      expect(await outcome).to.deep.equal(late(100));
      know(UNRESTRICTED_PRINCIPAL);
      await turn();
      expect([await asker.done(), asker.answered.length]).to.deep.equal([ends("OK"), 2]);
    });
  });

  describe("and their end", () => {
    it("answer all questions after the client has half-closed, and then end with OK", async () => {
      const asker = new Asker(channel);
      const outcomes = askMany(asker, 100);
      const ended = asker.done();
      for (let next = 0; next < 100; next++) {
        await reached(next + 1);
        asked[next]?.answer();
      }
      expect([await Promise.all(outcomes), await ended]).to.deep.equal([
        many(100).map(() => fine),
        ends("OK"),
      ]);
      await nothingIsLeft();
    });

    it("end with OK without any question, and leave no timer", async () => {
      expect(await new Asker(channel).done()).to.deep.equal(ends("OK"));
      await nothingIsLeft();
    });

    for (const [what, count] of [
      ["some questions are open", 3],
      ["more questions are sent than are read", 100],
    ] as const) {
      it(`leave nothing behind when the client cancels while ${what}`, async () => {
        const asker = new Asker(channel);
        const outcomes = askMany(asker, count);
        await reached(Math.min(count, 64));
        asker.cancel();
        expect(await asker.ended).to.deep.equal(ends("CANCELLED"));
        await nothingIsLeft();
        expect(asked.map(({ caller }) => caller.isGone)).to.deep.equal(asked.map(() => true));
        for (const held of asked) held.answer();
        expect(await Promise.all(outcomes)).to.deep.equal(outcomes.map(() => "unanswered"));
        await thereIsRoom();
        clock.advance(2 * STREAM_END_MS);
        expect([disconnected, names()]).to.deep.equal([[], many(Math.min(count, 64))]);
      });

      it(`leave nothing behind when the connection closes while ${what}`, async () => {
        const { connection } = await openBare(many(count));
        await reached(Math.min(count, 64));
        await connection.close();
        await nothingIsLeft();
        expect(asked.map(({ caller }) => caller.isGone)).to.deep.equal(asked.map(() => true));
        for (const held of asked) held.answer();
        await thereIsRoom();
        expect(disconnected).to.deep.equal([]);
      });
    }

    /** The maximum of concurrent streams. */
    async function thereIsRoom(): Promise<void> {
      atOnce = () => FINE;
      const askers = Array.from({ length: MOST }, () => new Asker(channel));
      for (const asker of askers) expect(await asker.verdicts("a")).to.deep.equal([Verdict.NOT_BLACKLISTED]);
      for (const asker of askers) await asker.done();
      await nothingIsLeft();
    }

    it("end at the client's deadline, with or without open questions", async () => {
      const [busy, idle] = [new Asker(channel, { timeoutMs: 300 }), new Asker(channel, { timeoutMs: 300 })];
      const outcomes = askMany(busy, 100);
      await reached(64);
      expect([(await busy.ended).code, (await idle.ended).code]).to.deep.equal([
        "DEADLINE_EXCEEDED",
        "DEADLINE_EXCEEDED",
      ]);
      await nothingIsLeft();
      for (const held of asked) held.answer();
      expect([...new Set(await Promise.all(outcomes))]).to.deep.equal(["unanswered"]);
      await thereIsRoom();
      expect(disconnected).to.deep.equal([]);
    });

    it("end when the replica drains, once earlier questions are answered, and accept no more", async () => {
      const [busy, full, idle] = [new Asker(channel), new Asker(channel), new Asker(channel)];
      const outcomes = askMany(busy, 3);
      await reached(3);
      const more = askMany(full, 100, 10);
      await reached(67);
      streams.drain();
      expect(await idle.ended).to.deep.equal(ends("UNAVAILABLE", "DRAINING"));
      const tooLate = askMany(busy, 3, 200);
      atOnce = () => {
        throw new Error("asked all the same");
      };
      for (const held of asked) held.answer();
      expect([await busy.ended, await full.ended]).to.deep.equal([
        ends("UNAVAILABLE", "DRAINING"),
        ends("UNAVAILABLE", "DRAINING"),
      ]);
      expect(await Promise.all([...outcomes, ...tooLate])).to.deep.equal([
        ...[fine, fine, fine],
        ...["unanswered", "unanswered", "unanswered"],
      ]);
      expect(await Promise.all(more)).to.deep.equal([
        ...many(64).map(() => fine),
        ...many(36).map(() => "unanswered"),
      ]);
      await nothingIsLeft();
    });

    it("end when the replica drains even if their caller is still being authenticated", async () => {
      let know = (_: Principal) => {};
      let isAsked = false;
      authenticate = () => {
        isAsked = true;
        return new Promise((resolve) => {
          know = resolve;
        });
      };
      const asker = new Asker(channel);
      const outcome = asker.ask({ jtis: ["a"] });
      await until(() => isAsked, { ...PATIENCE, what: "the caller is being authenticated" });
      streams.drain();
      know(UNRESTRICTED_PRINCIPAL);
      expect([await asker.ended, await outcome, asked]).to.deep.equal([
        ends("UNAVAILABLE", "DRAINING"),
        "unanswered",
        [],
      ]);
      await nothingIsLeft();
    });

    it("stay open while there are no questions for a long time", async () => {
      const asker = new Asker(channel);
      atOnce = () => FINE;
      await asker.verdicts("a");
      for (let waited = 0; waited < 10 * MAX_STREAM_STALL_MS; waited += STREAM_TICK_MS)
        clock.advance(STREAM_TICK_MS);
      expect([await asker.verdicts("b"), clock.pendingTimers]).to.deep.equal([[Verdict.NOT_BLACKLISTED], 1]);
      expect(await asker.done()).to.deep.equal(ends("OK"));
    });
  });

  describe("of clients that do not read", () => {
    /** Some 12 kB, so that a connection's window holds five. */
    const LARGE: Answer = {
      verdicts: Array.from({ length: 1000 }, () => Verdict.NOT_BLACKLISTED),
      revision: "r".repeat(11_000),
    };
    /** The number of questions that were answered with it. */
    let given: number;
    /** Advances the clock in steps, each of which lets everything happen that can. */
    const goOn = (ms: number) => {
      for (let waited = 0; waited < ms; waited += STREAM_TICK_MS) clock.advance(STREAM_TICK_MS);
    };
    const streamEnds = () =>
      log
        .records()
        .flatMap(({ method, reason, code, detail }) =>
          method === "StreamChecks" && String(detail).startsWith("the client reads none")
            ? [`${code} ${reason}`]
            : [],
        );

    beforeEach(() => {
      given = 0;
      atOnce = ({ jtis }) => {
        if (jtis[0] === "marker") return FINE;
        given++;
        return LARGE;
      };
    });

    async function openStuck(count = 200) {
      const opened = await openBare(many(count));
      await once(opened.stream, "response");
      opened.stream.pause();
      await settled();
      return opened;
    }

    const held = async () => {
      const { external, heapUsed } = await memoryInUse();
      return external + heapUsed;
    };

    /** Other connections are served, and no more questions are read meanwhile. */
    async function settled(): Promise<void> {
      for (let seen = -1; seen !== given; ) {
        seen = given;
        for (let round = 0; round < 10; round++) await arrived();
      }
    }

    it("have at most 64 buffered answers, end with OVERLOADED, and are disconnected if they do not read that either", async () => {
      await openStuck();
      const answered = given;
      expect(answered).to.be.within(64, 64 + 10);
      goOn(MAX_STREAM_STALL_MS - STREAM_TICK_MS);
      expect([streamEnds(), disconnected.length]).to.deep.equal([[], 0]);
      goOn(2 * STREAM_TICK_MS);
      expect([streamEnds(), disconnected.length]).to.deep.equal([["RESOURCE_EXHAUSTED OVERLOADED"], 0]);
      await arrived();
      expect(given).to.equal(answered);
      goOn(STREAM_END_MS);
      expect(disconnected).to.have.length(1);
      expect([calls.active, clock.pendingTimers]).to.deep.equal([0, 0]);
    });

    it("are not disconnected if they then read the end", async () => {
      const { stream } = await openStuck();
      goOn(MAX_STREAM_STALL_MS + STREAM_TICK_MS);
      expect(streamEnds()).to.deep.equal(["RESOURCE_EXHAUSTED OVERLOADED"]);
      const trailers = once(stream, "trailers");
      stream.resume();
      expect((await trailers)[0]).to.include({ "grpc-status": "8" });
      await nothingIsLeft();
      goOn(2 * STREAM_END_MS);
      expect(disconnected).to.deep.equal([]);
    });

    it("are served completely if they read slowly", async () => {
      const { stream } = await openStuck();
      let bytes = 0;
      stream.on("data", (chunk: Buffer) => {
        bytes += chunk.length;
        stream.pause();
      });
      while (bytes < 200 * 12_000) {
        const before = bytes;
        stream.resume();
        await until(() => bytes > before, { ...PATIENCE, what: "more bytes have arrived" });
        await arrived();
        clock.advance(STREAM_TICK_MS);
      }
      expect([given, clock.monotonic() > 2 * MAX_STREAM_STALL_MS, streamEnds(), disconnected]).to.deep.equal([
        200,
        true,
        [],
        [],
      ]);
    });

    const amends: Record<string, (greedy: Greedy) => unknown> = {
      "the client reads them": ({ streams }) => streams.map((stream) => stream.resume()),
      "it cancels": ({ streams }) => streams.map((stream) => stream.close(constants.NGHTTP2_CANCEL)),
      "it resets the streams": ({ streams }) =>
        streams.map((stream) => stream.close(constants.NGHTTP2_INTERNAL_ERROR)),
      "it disconnects": ({ connection }) => connection.close(),
    };
    for (const [what, make] of Object.entries(amends)) {
      it(`have their unread answers counted per connection: above 4 MiB its questions are refused until ${what}`, async () => {
        const huge = "r".repeat(40_000);
        atOnce = ({ jtis }) => ({ verdicts: [], revision: jtis[0] === "marker" ? "" : huge });
        const refused = () => log.records().filter(({ detail }) => detail === "too many calls are in flight");
        const { connection, stream } = await openBare(many(100));
        const streams = [stream, begin(connection, many(100))];
        for (const one of streams) one.pause();
        await until(() => refused().length > 0, { ...PATIENCE, what: "a question is refused" });
        expect([...new Set(refused().map(({ method, code }) => `${method} ${code}`))]).to.deep.equal([
          "IsBlacklisted RESOURCE_EXHAUSTED",
        ]);
        const peer = String(refused()[0]?.peer);
        expect(calls.mayBuffer(peer)).to.equal(false);
        // No other connection's questions are.
        const asker = new Asker(channel);
        expect(await asker.ask({ jtis: ["other"] })).to.deep.equal({ verdicts: [], revision: huge });
        await make({ connection, streams });
        const isNothingHeld = () => {
          const letGo = calls.bufferAnswer(peer, MAX_UNSENT_BYTES - 1);
          const mayBuffer = calls.mayBuffer(peer);
          letGo();
          return mayBuffer;
        };
        await until(isNothingHeld, { ...PATIENCE, what: "no bytes are counted" });
        expect(await asker.done()).to.deep.equal(ends("OK"));
      });
    }

    it("use a bounded share of the memory even with questions of the maximum size", async function () {
      this.timeout(60_000);
      const jtis = Array.from({ length: 2_000_000 }, () => "");
      const message = encode(
        StreamChecksRequestSchema,
        create(StreamChecksRequestSchema, { question: { jtis } }),
      );
      const bytes = framed(message);
      // Some of these are read, sixteen more are buffered, and the rest waits in the client.
      const { stream } = await openStuck(66);
      const before = await held();
      for (let count = 0; count < 30; count++) stream.write(bytes);
      const refusals = () => log.records().filter(({ code }) => code === "INVALID_ARGUMENT").length;
      await until(() => refusals() >= 3, { ...PATIENCE, what: "the first of them are read" });
      await settled();
      expect((await held()) - before).to.be.below(30_000_000);
    });

    it("use a bounded share of the memory", async () => {
      await openStuck();
      const before = await held();
      await openStuck();
      await openStuck();
      // 64 answers each, and their copies at both ends of the connections.
      expect((await held()) - before).to.be.below(2 * 3_000_000);
    });
  });

  it("are counted and logged as streams of StreamChecks, and their questions as calls of IsBlacklisted", async () => {
    const asker = new Asker(channel);
    authenticate = () => ({ name: "gateway", roles: new Set(["check"]) }) as unknown as Principal;
    const outcomes = askMany(asker, 4);
    await reached(4);
    clock.advance(40);
    asked[0]?.answer();
    asked[1]?.fail(storeUnavailable("the database is away"));
    asked[2]?.fail(new Error("unforeseen"));
    await Promise.all(outcomes.slice(0, 3));
    clock.advance(60);
    asker.cancel();
    await nothingIsLeft();
    const scraped = parseMetrics((await metrics.render()).text);
    const seen = (name: string) =>
      Object.fromEntries(
        (scraped.get(name)?.series ?? [])
          .filter(({ labels, value }) => value > 0 && labels.le === undefined)
          .map(({ name: series, labels, value }) => {
            expect([labels.grpc_type, labels.grpc_service]).to.deep.equal([
              "bidi_stream",
              "tokenblacklist.v1.TokenBlacklist",
            ]);
            const { grpc_method, grpc_code = series } = labels;
            return [`${grpc_method} ${grpc_code}`, Math.round(value * 1000) / 1000];
          }),
      );
    expect([
      seen("grpc_server_started_total"),
      seen("grpc_server_handled_total"),
      seen("grpc_server_handling_seconds"),
    ]).to.deep.equal([
      { "StreamChecks grpc_server_started_total": 1, "IsBlacklisted grpc_server_started_total": 4 },
      {
        "StreamChecks Canceled": 1,
        "IsBlacklisted OK": 1,
        "IsBlacklisted Unavailable": 1,
        "IsBlacklisted Internal": 1,
        "IsBlacklisted Canceled": 1,
      },
      {
        "StreamChecks grpc_server_handling_seconds_count": 1,
        "StreamChecks grpc_server_handling_seconds_sum": 0.1,
        "IsBlacklisted grpc_server_handling_seconds_count": 4,
        "IsBlacklisted grpc_server_handling_seconds_sum": 0.22,
      },
    ]);
    const calling = { msg: "call", caller: "gateway" };
    expect(
      log.records().map(({ peer, err, ...rest }) => {
        expect(peer).to.match(/^127\.0\.0\.1:\d+$/);
        return err === undefined ? rest : { ...rest, err: (err as { message: string }).message };
      }),
    ).to.deep.equal([
      {
        ...{ ...calling, level: "debug", method: "IsBlacklisted", code: "OK", duration_ms: 40 },
        ...{ count: 1, blacklisted: 0, unknown: 0 },
      },
      {
        ...{ ...calling, level: "warn", method: "IsBlacklisted", code: "UNAVAILABLE", duration_ms: 40 },
        ...{ reason: "STORE_UNAVAILABLE", detail: "the database is away" },
      },
      {
        ...{ ...calling, level: "error", method: "IsBlacklisted", code: "INTERNAL", duration_ms: 40 },
        ...{ reason: "INTERNAL", detail: "internal error", err: "unforeseen" },
      },
      { ...calling, level: "info", method: "IsBlacklisted", code: "CANCELLED", duration_ms: 100 },
      { ...calling, level: "info", method: "StreamChecks", code: "CANCELLED", duration_ms: 100 },
    ]);
    log.lines.splice(0);
    await new Asker(channel).done();
    expect(log.records().map(({ level, method, code }) => [level, method, code])).to.deep.equal([
      ["debug", "StreamChecks", "OK"],
    ]);
  });
});
