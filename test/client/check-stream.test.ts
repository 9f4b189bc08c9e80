import { create } from "@bufbuild/protobuf";
import { durationMs } from "@bufbuild/protobuf/wkt";
import { Client, credentials, Metadata } from "@grpc/grpc-js";
import { expect } from "chai";
import {
  IsBlacklistedRequestSchema,
  IsBlacklistedResponseSchema,
  type StreamChecksResponse,
  Verdict,
} from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { CheckStream, IDLE_STREAM_MS, SLOW_STREAM_MS } from "../../src/client/check-stream.ts";
import { ClientError } from "../../src/client/client-error.ts";
import { CHECK_STREAM_MS } from "../../src/client/streamed-checks.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { until } from "../support/until.ts";
import { encodedStatus, type HeldStream, holdStreams } from "./held-streams.ts";
import { type ScriptedService, startScripted } from "./scripted-service.ts";

const FINE = Verdict.NOT_BLACKLISTED;
const BAD = Verdict.BLACKLISTED;

type Outcome = StreamChecksResponse["outcome"];

describe("a stream of checks", () => {
  let service: ScriptedService;
  let streams: HeldStream[];
  let grpc: Client;
  let clock: FakeClock;
  let stream: CheckStream;
  let ends: number;

  beforeEach(async () => {
    const held = holdStreams();
    streams = held.streams;
    service = await startScripted({}, { streams: held.take });
    grpc = new Client(service.address, credentials.createInsecure());
    clock = new FakeClock();
    ends = 0;
    const setup = { clock, lifetimeMs: CHECK_STREAM_MS, onEnd: () => void ends++ };
    stream = new CheckStream(grpc, { ...setup, metadata: new Metadata() });
  });

  afterEach(() => {
    stream.cancel(new ClientError("CANCELLED", "the test is over"));
    grpc.close();
    service.stop();
  });

  /** The result of a question: its verdicts, or the code and the reason of its error. */
  function ask(
    jtis: string[],
    { timeoutMs = 1000, signal }: { timeoutMs?: number; signal?: AbortSignal } = {},
  ) {
    return stream
      .ask(create(IsBlacklistedRequestSchema, { jtis }), { timeoutMs, signal })
      .then((answer) => ("streamEnd" in answer ? outcomeOf(answer.streamEnd) : answer.verdicts), outcomeOf);
  }

  function outcomeOf(error: ClientError) {
    expect(error).to.be.instanceOf(ClientError);
    return error.reason === undefined ? [error.code] : [error.code, error.reason];
  }

  /** The server side, once this many questions have arrived. */
  async function served(count: number): Promise<{ held: HeldStream; ids: number[] }> {
    await until(() => streams.length === 1, { withinMs: 5000, what: "the stream begins" });
    const [held] = streams as [HeldStream];
    return { held, ids: await held.asked(count) };
  }

  const isOver = () => until(() => ends > 0, { withinMs: 5000, what: "the stream has ended" });

  it("sends each question with an id of its own and its timeout", async () => {
    const answers = [ask(["a"], { timeoutMs: 1500 }), ask(["b", "c"], { timeoutMs: 20 })];
    const { held, ids } = await served(2);
    for (const [index, id] of ids.entries()) held.answer(id, ...(index === 0 ? [FINE] : [FINE, BAD]));
    await Promise.all(answers);
    expect([
      new Set(ids).size,
      held.questions.map(({ question, timeout }) => [question?.jtis, timeout && durationMs(timeout)]),
    ]).to.deep.equal([
      2,
      [
        [["a"], 1500],
        [["b", "c"], 20],
      ],
    ]);
  });

  it("matches responses by their ids, in any order", async () => {
    const answers = [ask(["a"]), ask(["bad"]), ask(["c"])];
    const { held, ids } = await served(3);
    const [a, bad, c] = ids as [number, number, number];
    held.answer(c, FINE);
    held.answer(bad, BAD);
    held.refuse(a, "UNAVAILABLE");
    expect(await Promise.all(answers)).to.deep.equal([["UNAVAILABLE"], [BAD], [FINE]]);
  });

  it("ignores a response with an unknown id, and a second response", async () => {
    const answers = [ask(["bad"]), ask(["b"])];
    const { held, ids } = await served(2);
    const [bad, b] = ids as [number, number];
    for (const id of [0, 77, 2 ** 32 - 1]) held.answer(id, FINE);
    held.answer(bad, BAD);
    held.answer(bad, FINE);
    held.refuse(bad, "INTERNAL");
    held.answer(b, FINE);
    expect({ answers: await Promise.all(answers), acceptsChecks: stream.acceptsChecks, ends }).to.deep.equal({
      answers: [[BAD], [FINE]],
      acceptsChecks: true,
      ends: 0,
    });
  });

  const answer = (...verdicts: Verdict[]): Outcome => ({
    case: "answer",
    value: create(IsBlacklistedResponseSchema, { verdicts, revision: "r" }),
  });
  const status = (value: Uint8Array): Outcome => ({ case: "status", value });
  const MALFORMED = ["INTERNAL", "MALFORMED_ANSWER"];
  const FAILING: Record<string, [outcome: Outcome, fails: string[]]> = {
    "no outcome": [{ case: undefined }, MALFORMED],
    "no verdict": [answer(), MALFORMED],
    "too few verdicts": [answer(FINE), MALFORMED],
    "too many verdicts": [answer(FINE, FINE, FINE), MALFORMED],
    "an unspecified verdict": [answer(FINE, Verdict.UNSPECIFIED), MALFORMED],
    "an unknown verdict": [answer(FINE, 9 as Verdict), MALFORMED],
    "a negative verdict": [answer(-1 as Verdict, FINE), MALFORMED],
    "a status that cannot be decoded": [status(Buffer.from([0xff, 0xff])), MALFORMED],
    "an empty status": [status(Buffer.alloc(0)), MALFORMED],
    "the status OK": [status(encodedStatus(0)), MALFORMED],
    "a status with an unknown code": [status(encodedStatus(99)), ["UNKNOWN"]],
    "a status with a negative code": [status(encodedStatus(-1)), ["UNKNOWN"]],
    "a status with a reason": [status(encodedStatus(7)), ["PERMISSION_DENIED"]],
  };
  for (const [what, [outcome, fails]] of Object.entries(FAILING)) {
    it(`fails a question that is answered with ${what}, and no other`, async () => {
      const answers = [ask(["a", "b"]), ask(["c", "bad"])];
      const { held, ids } = await served(2);
      const [odd, other] = ids as [number, number];
      held.say({ id: odd, outcome });
      held.answer(other, FINE, BAD);
      expect([await Promise.all(answers), stream.acceptsChecks, ends]).to.deep.equal([
        [fails, [FINE, BAD]],
        true,
        0,
      ]);
    });
  }

  it("fails a question whose response has an unknown form, and no other", async () => {
    const answers = [ask(["a"]), ask(["bad"])];
    const { held, ids } = await served(2);
    const [odd, other] = ids as [number, number];
    // Field 1 is the id; field 4, of a later contract, holds an empty message.
    held.say(Buffer.from([0x08, odd, 0x22, 0x00]));
    held.answer(other, BAD);
    expect(await Promise.all(answers)).to.deep.equal([MALFORMED, [BAD]]);
  });

  it("fails all its questions on a message that cannot be decoded", async () => {
    const answers = [ask(["a"]), ask(["b"])];
    const { held } = await served(2);
    held.say(Buffer.from([0xff, 0xff, 0xff]));
    expect([await Promise.all(answers), stream.acceptsChecks]).to.deep.equal([
      [["INTERNAL"], ["INTERNAL"]],
      false,
    ]);
  });

  it("fails all its questions on a message of more than 4 MiB", async () => {
    const answers = [ask(["a"]), ask(["b"])];
    const { held } = await served(2);
    held.say(Buffer.alloc(4 * 1024 * 1024 + 1));
    expect(await Promise.all(answers)).to.deep.equal(Array(2).fill(["RESOURCE_EXHAUSTED"]));
  });

  it("fails unanswered questions when the service ends it with OK, and resolves the others", async () => {
    const answers = [ask(["bad"]), ask(["b"])];
    const { held, ids } = await served(2);
    held.answer(ids[0] as number, BAD);
    held.end();
    expect(await Promise.all(answers)).to.deep.equal([[BAD], ["UNAVAILABLE"]]);
    await isOver();
    expect([await ask(["late"]), stream.acceptsChecks, clock.pendingTimers]).to.deep.equal([
      ["UNAVAILABLE"],
      false,
      0,
    ]);
  });

  it("fails unanswered questions with its own error", async () => {
    const answers = [ask(["a"]), ask(["b"])];
    const { held } = await served(2);
    held.fail("PERMISSION_DENIED");
    expect(await Promise.all(answers)).to.deep.equal(Array(2).fill(["PERMISSION_DENIED"]));
    await isOver();
    expect({ hasAnswered: stream.hasAnswered, pendingTimers: clock.pendingTimers }).to.deep.equal({
      hasAnswered: false,
      pendingTimers: 0,
    });
  });

  it("reports responses that arrived before the end", async () => {
    const answers = [ask(["bad"]), ask(["b"])];
    const { held, ids } = await served(2);
    held.answer(ids[0] as number, BAD);
    held.answer(ids[1] as number, FINE);
    held.fail("INTERNAL");
    expect(await Promise.all(answers)).to.deep.equal([[BAD], [FINE]]);
  });

  it("accepts no more questions while one has waited for 50 ms, and accepts them again when that is answered", async () => {
    const slow = ask(["slow"]);
    clock.advance(SLOW_STREAM_MS - 1);
    const before = stream.acceptsChecks;
    clock.advance(1);
    const { held, ids } = await served(1);
    const then = stream.acceptsChecks;
    held.answer(ids[0] as number, BAD);
    expect([before, then, await slow, stream.acceptsChecks]).to.deep.equal([true, false, [BAD], true]);
  });

  it("is abandoned with a question that has been unanswered for all its time, without any later response", async () => {
    const answers = [ask(["a"], { timeoutMs: 30 }), ask(["bad"], { timeoutMs: 100 })];
    const { held, ids } = await served(2);
    clock.advance(30);
    expect([await answers[0], stream.acceptsChecks, stream.hasAnswered]).to.deep.equal([
      ["DEADLINE_EXCEEDED"],
      false,
      false,
    ]);
    // Waiting questions may still be answered.
    held.answer(ids[1] as number, BAD);
    expect(await answers[1]).to.deep.equal([BAD]);
    await held.isLeft("cancelled");
    await isOver();
    expect({ ends, pendingTimers: clock.pendingTimers }).to.deep.equal({ ends: 1, pendingTimers: 0 });
  });

  it("is abandoned when a caller cancels, if it has had no response since", async () => {
    const answered = ask(["a"]);
    const { held, ids } = await served(1);
    held.answer(ids[0] as number, FINE);
    await answered;
    clock.advance(1);
    const caller = new AbortController();
    const given = ask(["b"], { signal: caller.signal });
    await held.asked(2);
    caller.abort();
    expect({ given: await given, acceptsChecks: stream.acceptsChecks }).to.deep.equal({
      given: ["CANCELLED"],
      acceptsChecks: false,
    });
    await held.isLeft("cancelled");
  });

  it("stays open when a question is cancelled or times out after a response to another question", async () => {
    const caller = new AbortController();
    const given = ask(["a"], { signal: caller.signal });
    const late = ask(["b"], { timeoutMs: 20 });
    clock.advance(1);
    const other = ask(["c"]);
    const { held, ids } = await served(3);
    held.answer(ids[2] as number, FINE);
    await other;
    caller.abort();
    clock.advance(20);
    expect([await given, await late, stream.acceptsChecks]).to.deep.equal([
      ["CANCELLED"],
      ["DEADLINE_EXCEEDED"],
      true,
    ]);
    const next = ask(["bad"]);
    // The cancelled question is answered at last, and the response is dropped.
    held.answer(ids[0] as number, FINE);
    held.answer(ids[1] as number, FINE);
    held.answer((await held.asked(4))[3] as number, BAD);
    expect({ answers: await next, left: held.left }).to.deep.equal({ answers: [BAD], left: "no" });
  });

  it("does not send questions that were cancelled before", async () => {
    const given = await ask(["a"], { signal: AbortSignal.abort() });
    const asked = ask(["b"]);
    const { held, ids } = await served(1);
    held.answer(ids[0] as number, FINE);
    expect({ given, answers: await asked, questions: held.questions.length }).to.deep.equal({
      given: ["CANCELLED"],
      answers: [FINE],
      questions: 1,
    });
  });

  it("leaves no listener at the signal of a caller with many questions", async () => {
    const caller = new AbortController();
    let listeners = 0;
    const { signal } = caller;
    const add = signal.addEventListener.bind(signal);
    const remove = signal.removeEventListener.bind(signal);
    signal.addEventListener = (...given: Parameters<typeof add>) => {
      listeners++;
      add(...given);
    };
    signal.removeEventListener = (...given: Parameters<typeof remove>) => {
      listeners--;
      remove(...given);
    };
    for (let count = 1; count <= 20; count++) {
      const answer = ask(["a"], { signal });
      const { held, ids } = await served(count);
      held.answer(ids.at(-1) as number, FINE);
      await answer;
    }
    // Only the stream's own timer is left.
    expect({ listeners, pendingTimers: clock.pendingTimers }).to.deep.equal({
      listeners: 0,
      pendingTimers: 1,
    });
  });

  it("ends when it is retired, as soon as no question is unanswered", async () => {
    const answer = ask(["bad"]);
    const { held, ids } = await served(1);
    stream.retire();
    expect({ acceptsChecks: stream.acceptsChecks, left: held.left }).to.deep.equal({
      acceptsChecks: false,
      left: "no",
    });
    held.answer(ids[0] as number, BAD);
    expect(await answer).to.deep.equal([BAD]);
    await held.isLeft("done");
    held.end();
    await isOver();
    expect([ends, clock.pendingTimers, await ask(["late"])]).to.deep.equal([1, 0, ["UNAVAILABLE"]]);
  });

  it("is cancelled if the service does not end it", async () => {
    await served(0);
    stream.retire();
    await streams[0]?.isLeft("done");
    clock.advance(IDLE_STREAM_MS - 1);
    expect(ends).to.equal(0);
    clock.advance(1);
    await isOver();
    await until(() => service.streams.open === 0, { withinMs: 5000, what: "the service closes the stream" });
    expect(clock.pendingTimers).to.equal(0);
  });

  it("ends after a second or two without questions", async () => {
    const answer = ask(["a"]);
    const { held, ids } = await served(1);
    held.answer(ids[0] as number, FINE);
    await answer;
    clock.advance(IDLE_STREAM_MS);
    const afterOne = stream.acceptsChecks;
    clock.advance(IDLE_STREAM_MS);
    expect({ afterOne, acceptsChecks: stream.acceptsChecks }).to.deep.equal({
      afterOne: true,
      acceptsChecks: false,
    });
    await held.isLeft("done");
  });

  it("accepts questions until the end of its lifetime, however many there are, and resolves those made until then", async () => {
    const answers: Promise<unknown>[] = [];
    while (stream.acceptsChecks) {
      const answer = ask(["a"]);
      answers.push(answer);
      const { held, ids } = await served(answers.length);
      if (clock.monotonic() + 250 < CHECK_STREAM_MS) {
        held.answer(ids.at(-1) as number, FINE);
        await answer;
      }
      clock.advance(250);
    }
    const [held] = streams as [HeldStream];
    expect({ time: clock.monotonic(), left: held.left }).to.deep.equal({ time: CHECK_STREAM_MS, left: "no" });
    held.answer(held.questions.at(-1)?.id as number, BAD);
    expect(await answers.at(-1)).to.deep.equal([BAD]);
    await held.isLeft("done");
  });

  it("fails all waiting questions when it is cancelled, and is closed at the service", async () => {
    const answers = [ask(["a"]), ask(["b"])];
    await served(2);
    stream.cancel(new ClientError("CANCELLED", "the client is closed"));
    expect(await Promise.all(answers)).to.deep.equal(Array(2).fill(["CANCELLED"]));
    await streams[0]?.isLeft("cancelled");
    await isOver();
    expect({ ends, pendingTimers: clock.pendingTimers, openStreams: service.streams.open }).to.deep.equal({
      ends: 1,
      pendingTimers: 0,
      openStreams: 0,
    });
  });
});
