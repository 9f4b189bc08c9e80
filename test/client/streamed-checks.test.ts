import { setImmediate as turn } from "node:timers/promises";
import { expect } from "chai";
import { Verdict } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { SLOW_STREAM_MS } from "../../src/client/check-stream.ts";
import { clientCredentials } from "../../src/client/credentials.ts";
import {
  CHECK_STREAM_MS,
  MAX_REST_FROM_STREAMS_MS,
  REST_FROM_STREAMS_MS,
} from "../../src/client/streamed-checks.ts";
import { ServiceError } from "../../src/errors.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { until } from "../support/until.ts";
import { failure } from "./failure.ts";
import { type HeldStream, holdStreams } from "./held-streams.ts";
import { type OpenedSetup, Stage } from "./opened.ts";
import { type ScriptedService, startScripted } from "./scripted-service.ts";

const FINE = Verdict.NOT_BLACKLISTED;
const BAD = Verdict.BLACKLISTED;
const SECOND_MS = 1000;

const answered = ({ jtis }: { jtis: string[] }) => ({
  verdicts: jtis.map((jti) => (jti.startsWith("bad") ? BAD : FINE)),
  revision: "r",
});

/** The way in which each question arrived. */
const ways = ({ calls }: ScriptedService) =>
  calls.map(({ isStreamed }) => (isStreamed ? "streamed" : "called"));

describe("checks over streams", () => {
  const stage = new Stage();
  let clock: FakeClock;

  beforeEach(() => {
    clock = new FakeClock();
  });
  afterEach(() => stage.close());

  const soon = (isSo: () => boolean, what: string) => until(isSo, { withinMs: 5000, what });

  describe("over one stream after the other", () => {
    it("use the same stream while it responds", async () => {
      const { client, service } = await stage.scripted({ isBlacklisted: answered }, { clock });
      for (let count = 0; count < 20; count++) await client.isBlacklisted(`${count}`);
      expect([service.streams, ways(service)]).to.deep.equal([
        { begun: 1, open: 1, most: 1 },
        Array(20).fill("streamed"),
      ]);
    });

    for (const [random, lifetimeMs] of [
      [0, CHECK_STREAM_MS],
      [0.999, 8000],
    ] as const) {
      it(`use another stream after ${lifetimeMs / SECOND_MS} s if the random number is ${random}`, async () => {
        const setup: OpenedSetup = { clock, random: () => random };
        const { client, service } = await stage.scripted({ isBlacklisted: answered }, setup);
        const begun: number[] = [];
        for (let at = 0; at < 2 * lifetimeMs; at += SECOND_MS / 2) {
          await client.isBlacklisted("a");
          begun.push(service.streams.begun);
          clock.advance(SECOND_MS / 2);
        }
        const each = (2 * lifetimeMs) / SECOND_MS;
        expect(begun).to.deep.equal([...Array(each).fill(1), ...Array(each).fill(2)]);
        await soon(() => service.streams.open === 0, "the last one ends");
        expect(service.streams).to.deep.equal({ begun: 2, open: 0, most: 1 });
      });
    }

    it("let a slow stream end as soon as it has no unanswered question, and use the next one meanwhile", async () => {
      const { streams, take } = holdStreams();
      const { client } = await stage.scripted({}, { clock, streams: take });
      const slow = client.isBlacklisted("bad-1");
      await soon(() => streams.length === 1, "the first stream begins");
      const first = streams[0] as HeldStream;
      const [slowId] = await first.asked(1);
      clock.advance(SLOW_STREAM_MS);
      const next = client.isBlacklisted("bad-2", { maxStalenessMs: 1 });
      await soon(() => streams.length === 2, "the second stream begins");
      const second = streams[1] as HeldStream;
      const [nextId] = await second.asked(1);
      second.answer(nextId as number, BAD);
      expect([await next, first.left]).to.deep.equal([true, "no"]);
      first.answer(slowId as number, BAD);
      expect(await slow).to.equal(true);
      await first.isLeft("done");
      expect(second.left).to.equal("no");
    });

    it("let a stream end after a second or two without checks, and open another", async () => {
      const { client, service } = await stage.scripted({ isBlacklisted: answered }, { clock });
      await client.isBlacklisted("a");
      clock.advance(2 * SECOND_MS);
      await soon(() => service.streams.open === 0, "it has ended");
      await soon(() => clock.pendingTimers === 0, "the client knows, and waits for nothing");
      expect([await client.isBlacklisted("bad"), service.streams]).to.deep.equal([
        true,
        { begun: 2, open: 1, most: 1 },
      ]);
    });
  });

  describe("to a service without streams", () => {
    it("are calls, and none of them fails or waits", async () => {
      const { client, service } = await stage.scripted(
        { isBlacklisted: answered },
        { clock, streams: false },
      );
      const answers = [];
      for (const jti of ["a", "bad", "b"]) answers.push(await client.isBlacklisted(jti));
      expect([answers, ways(service), clock.monotonic()]).to.deep.equal([
        [false, true, false],
        Array(3).fill("called"),
        0,
      ]);
    });

    it("try a stream once per back-off, which doubles each time, up to a minute", async () => {
      const { streams, take } = holdStreams();
      const tried: number[] = [];
      const { client, service } = await stage.scripted(
        { isBlacklisted: answered },
        {
          clock,
          streams(call) {
            tried.push(clock.monotonic());
            take(call);
            streams.at(-1)?.fail("UNIMPLEMENTED");
          },
        },
      );
      const step = REST_FROM_STREAMS_MS;
      while (clock.monotonic() < 4 * MAX_REST_FROM_STREAMS_MS) {
        await Promise.all([client.isBlacklisted("a"), client.isBlacklisted("b", { maxStalenessMs: 5 })]);
        clock.advance(step);
      }
      const rests = tried.slice(1).map((at, index) => at - (tried[index] as number));
      expect(rests).to.deep.equal([1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
      expect(new Set(ways(service))).to.deep.equal(new Set(["called"]));
    });

    it("back off for only a second if a stream has responded since the last back-off", async () => {
      const { streams, take } = holdStreams();
      const tried: number[] = [];
      let isOld = true;
      const { client } = await stage.scripted(
        { isBlacklisted: answered },
        {
          clock,
          streams(call) {
            tried.push(clock.monotonic());
            take(call);
            const stream = streams.at(-1) as HeldStream;
            if (isOld) stream.fail("UNIMPLEMENTED");
            else call.on("data", ({ id }) => stream.answer(id, FINE));
          },
        },
      );
      const step = REST_FROM_STREAMS_MS;
      for (let at = 0; at < 18 * step; at += step) {
        // It receives only those that begin in the fourth second.
        isOld = at !== 3 * step;
        expect(await client.isBlacklisted("a")).to.equal(false);
        clock.advance(step);
      }
      expect(tried.map((at) => at / step)).to.deep.equal([0, 1, 3, 12, 13, 15]);
    });

    it("use streams again after an upgrade", async () => {
      const older = await startScripted({ isBlacklisted: answered }, { streams: false });
      const { port } = new URL(`http://${older.address}`);
      const { client } = stage.client(older.address, { clock });
      for (let rest = REST_FROM_STREAMS_MS; rest <= 4 * REST_FROM_STREAMS_MS; rest *= 2) {
        await client.isBlacklisted("a");
        clock.advance(rest);
      }
      older.stop();
      await soon(() => client.state === "unavailable", "the client has noticed");
      const newer = stage.use(await startScripted({ isBlacklisted: answered }, { port: Number(port) }));
      await soon(() => client.state === "ready", "the client is connected again");
      expect([await client.isBlacklisted("bad"), ways(newer)]).to.deep.equal([true, ["streamed"]]);
    });
  });

  describe("to several replicas", () => {
    it("one of which is older are answered by all, over streams and by calls", async () => {
      const services = [
        stage.use(await startScripted({ isBlacklisted: answered })),
        stage.use(await startScripted({ isBlacklisted: answered }, { streams: false })),
      ];
      const { client, events } = stage.client(
        services.map(({ address }) => address),
        { clock },
      );
      const answers = new Set<boolean>();
      const seen = () =>
        new Set(services.flatMap((service, index) => ways(service).map((way) => index + way)));
      await until(
        async () => {
          answers.add(await client.isBlacklisted("a"));
          clock.advance(SECOND_MS / 2);
          return seen().size === 3;
        },
        { withinMs: 5000, what: "both replicas are called, over streams if they have them" },
      );
      expect([
        [...answers],
        [...seen()].sort(),
        events.filter(([name]) => name === "repeated"),
      ]).to.deep.equal([[false], ["0called", "0streamed", "1called"], []]);
    });

    /** A service whose streams are held, beside one that answers; the client is connected to both. */
    async function besideHeld() {
      const { streams, take } = holdStreams();
      const held = stage.use(await startScripted({ isBlacklisted: answered }, { streams: take }));
      const well = stage.use(await startScripted({ isBlacklisted: answered }));
      const { client, events } = stage.client([held.address, well.address], { clock });
      /** A check whose question reaches the held service, on a new stream. */
      async function askHeld(): Promise<{ stream: HeldStream; check: Promise<boolean> }> {
        const known = streams.length;
        for (;;) {
          let isAnswered = false;
          const check = client.isBlacklisted("a").finally(() => {
            isAnswered = true;
          });
          await soon(() => isAnswered || streams.length > known, "it is asked or answered");
          const stream = streams[known];
          if (stream !== undefined) {
            await stream.asked(1);
            return { stream, check };
          }
          await leave(well);
        }
      }
      const leave = async (service: ScriptedService) => {
        clock.advance(2 * SECOND_MS);
        await soon(() => service.streams.open === 0, "the stream ends");
      };
      while (well.streams.begun === 0) {
        const { stream, check } = await askHeld();
        stream.answer(stream.questions[0]?.id as number, FINE);
        await check;
        clock.advance(2 * SECOND_MS);
        stream.end();
        await leave(held);
      }
      well.forget();
      return { client, events, askHeld, well };
    }

    it("use another replica 50 ms after an unanswered question, and retry that question after half of its time", async () => {
      const { client, events, askHeld, well } = await besideHeld();
      const { stream, check } = await askHeld();
      stream.answer(stream.questions[0]?.id as number, FINE);
      await check;
      well.forget();
      clock.advance(1);
      // Each with another freshness, so that none waits for another's response.
      const silent = client.isBlacklisted("bad-1", { maxStalenessMs: 1 });
      await stream.asked(2);
      clock.advance(SLOW_STREAM_MS - 1);
      const last = client.isBlacklisted("bad-2", { maxStalenessMs: 2 });
      await stream.asked(3);
      clock.advance(1);
      const next = await client.isBlacklisted("bad-3", { maxStalenessMs: 3 });
      const asked = well.calls.length;
      clock.advance(SECOND_MS - SLOW_STREAM_MS);
      expect([await silent, asked, stream.questions.length, next]).to.deep.equal([true, 1, 3, true]);
      clock.advance(SLOW_STREAM_MS);
      expect([await last, ways(well)]).to.deep.equal([true, Array(3).fill("streamed")]);
      await stream.isLeft("cancelled");
      expect(events.flatMap(([name, event]) => (name === "repeated" ? [event] : []))).to.deep.equal(
        Array(2).fill({ code: "DEADLINE_EXCEEDED", waitMs: 0 }),
      );
    });

    it("do not back off from streams because of an unresponsive replica while another responds", async () => {
      const { client, askHeld, well } = await besideHeld();
      const { check } = await askHeld();
      well.forget();
      clock.advance(SLOW_STREAM_MS);
      await client.isBlacklisted("bad-2", { maxStalenessMs: 1 });
      clock.advance(SECOND_MS - SLOW_STREAM_MS);
      expect([await check, await client.isBlacklisted("bad-3"), ways(well)]).to.deep.equal([
        false,
        true,
        Array(3).fill("streamed"),
      ]);
    });
  });

  describe("over a stream that never responds", () => {
    it("are calls after half of the first one's time, and for one back-off, however many were lost", async () => {
      const { streams, take } = holdStreams();
      const { client, service } = await stage.scripted({ isBlacklisted: answered }, { clock, streams: take });
      // Each with another freshness, so that none waits for another's response.
      const checks = [client.isBlacklisted("bad-0")];
      for (let count = 1; count <= 3; count++) {
        await soon(() => streams.length === count, "a stream begins");
        await streams[count - 1]?.asked(1);
        clock.advance(SLOW_STREAM_MS + 10);
        checks.push(client.isBlacklisted(`bad-${count}`, { maxStalenessMs: count }));
      }
      await soon(() => streams.length === 4, "the last stream begins");
      await streams[3]?.asked(1);
      // The first is abandoned at one second, and the last as long after it as it was made.
      const later = 3 * (SLOW_STREAM_MS + 10);
      clock.advance(SECOND_MS - later);
      await turn();
      clock.advance(later);
      expect([await Promise.all(checks), ways(service)]).to.deep.equal([
        Array(4).fill(true),
        Array(4).fill("called"),
      ]);
      // The back-off began when the first of them was abandoned.
      clock.advance(SECOND_MS - later - 1);
      await client.isBlacklisted("a");
      expect(streams).to.have.length(4);
      clock.advance(1);
      void client.isBlacklisted("a").catch(() => {});
      await soon(() => streams.length === 5, "a stream is tried again");
      await soon(() => service.streams.open === 1, "nothing is left of the others");
    });

    it("fail closed if there is no time for another way, and those after them are calls", async () => {
      const { streams, take } = holdStreams();
      const { client, service } = await stage.scripted({ isBlacklisted: answered }, { clock, streams: take });
      const timeoutMs = 100;
      const lost = failure(client.isBlacklisted("a", { timeoutMs }));
      await soon(() => streams.length === 1, "the stream begins");
      await streams[0]?.asked(1);
      clock.advance(timeoutMs);
      const { code } = await lost;
      expect([code, await client.isBlacklisted("bad", { timeoutMs }), ways(service)]).to.deep.equal([
        "DEADLINE_EXCEEDED",
        true,
        ["called"],
      ]);
    });

    it("are calls even after a cancelled check, or the failure would never be detected", async () => {
      const { streams, take } = holdStreams();
      const { client, service } = await stage.scripted({ isBlacklisted: answered }, { clock, streams: take });
      const caller = new AbortController();
      const lost = failure(client.isBlacklisted("a", { signal: caller.signal }));
      await soon(() => streams.length === 1, "the stream begins");
      await streams[0]?.asked(1);
      caller.abort();
      const { code } = await lost;
      await streams[0]?.isLeft("cancelled");
      expect([code, await client.isBlacklisted("bad"), ways(service)]).to.deep.equal([
        "CANCELLED",
        true,
        ["called"],
      ]);
    });

    it("keep few streams during many deadlines of one millisecond, and leave none behind", async () => {
      const { streams, take } = holdStreams();
      const { client, service } = await stage.scripted({ isBlacklisted: answered }, { streams: take });
      let wrong = 0;
      const checks: Promise<unknown>[] = [];
      for (let round = 0; round < 40; round++) {
        for (let index = 0; index < 100; index++) {
          const check = client.isBlacklisted(`bad-${round}-${index}`, {
            timeoutMs: 1,
            maxStalenessMs: 1 + (index % 5),
          });
          checks.push(
            check.then(
              (answer) => {
                if (!answer) wrong++;
              },
              () => {},
            ),
          );
        }
        await turn();
      }
      await Promise.all(checks);
      await soon(() => service.streams.open === 0, "none is left");
      expect([wrong, streams.length <= 5, await client.isBlacklisted("bad")]).to.deep.equal([0, true, true]);
    });
  });

  describe("with callers' tokens", () => {
    const sent = ({ calls }: ScriptedService) =>
      calls.map(({ authorization, isStreamed }) => [
        String(authorization[0]).replace("Bearer ", ""),
        isStreamed ? "streamed" : "called",
      ]);

    it("request the current token before each stream", async () => {
      let count = 0;
      const credentials = clientCredentials({ token: async () => `token-${++count}` });
      const { client, service } = await stage.scripted({ isBlacklisted: answered }, { clock, credentials });
      for (let round = 0; round < 3; round++) {
        await client.isBlacklisted("a");
        await client.isBlacklisted("b");
        clock.advance(2 * SECOND_MS);
      }
      expect(sent(service)).to.deep.equal(
        ["token-1", "token-1", "token-2", "token-2", "token-3", "token-3"].map((token) => [
          token,
          "streamed",
        ]),
      );
    });

    /** A service that accepts only callers whose token is `valid`, and its client. */
    async function withGuard() {
      const state = { valid: "old", current: "old" };
      const credentials = clientCredentials({ token: () => state.current });
      const opened = await stage.scripted(
        {
          isBlacklisted(request, { authorization }) {
            if (authorization[0] !== `Bearer ${state.valid}`)
              throw new ServiceError("UNAUTHENTICATED", "the token has expired");
            return answered(request);
          },
        },
        { clock, credentials },
      );
      return { state, opened };
    }

    it("renew an expired token in mid-stream, and no check fails", async () => {
      const { state, opened } = await withGuard();
      const { client, service, events } = opened;
      await client.isBlacklisted("a");
      state.valid = state.current = "new";
      const answers = [
        await client.isBlacklisted("bad"),
        await client.isBlacklisted("b"),
        await client.isBlacklisted("bad-2"),
      ];
      expect([answers, sent(service), events.filter(([name]) => name === "repeated")]).to.deep.equal([
        [true, false, true],
        [
          ["old", "streamed"],
          ["old", "streamed"],
          ["new", "called"],
          ["new", "streamed"],
          ["new", "streamed"],
        ],
        [],
      ]);
      await soon(() => service.streams.open === 1, "the stream of the old one has ended");
    });

    it("reject with UNAUTHENTICATED while the token stays invalid, try at most twice per check, and recover", async () => {
      const { state, opened } = await withGuard();
      const { client, service } = opened;
      await client.isBlacklisted("a");
      state.valid = "new";
      const counts: number[] = [];
      for (let round = 0; round < 4; round++) {
        const before = service.calls.length;
        const { code } = await failure(client.isBlacklisted("b"));
        expect(code).to.equal("UNAUTHENTICATED");
        counts.push(service.calls.length - before);
      }
      state.current = "new";
      expect([counts, await client.isBlacklisted("bad"), await client.isBlacklisted("c")]).to.deep.equal([
        [2, 1, 2, 1],
        true,
        false,
      ]);
    });

    it("reject if the service refuses the stream, as with a call", async () => {
      const refusal = new ServiceError("UNAUTHENTICATED", "who are you?");
      const { client, service } = await stage.scripted(
        {
          isBlacklisted: () => {
            throw refusal;
          },
        },
        { clock, streams: (call) => void call.emit("error", { code: 16, details: "who are you?" }) },
      );
      const { code, reason } = await failure(client.isBlacklisted("a"));
      expect([code, reason, ways(service)]).to.deep.equal(["UNAUTHENTICATED", "UNAUTHENTICATED", ["called"]]);
    });

    it("wait for a slow token, and leave the rest of half of the check's time for the response", async () => {
      let give = (_: string) => {};
      const credentials = clientCredentials({
        token: () =>
          new Promise<string>((resolve) => {
            give = resolve;
          }),
      });
      const { streams, take } = holdStreams();
      const { client, service } = await stage.scripted(
        { isBlacklisted: answered },
        { clock, credentials, streams: take },
      );
      const check = client.isBlacklisted("bad");
      await turn();
      clock.advance(600);
      give("late");
      await soon(() => streams.length === 1, "the stream begins");
      await streams[0]?.asked(1);
      clock.advance(399);
      await turn();
      const before = streams[0]?.left;
      clock.advance(1);
      await streams[0]?.isLeft("cancelled");
      give("again");
      expect([before, await check, ways(service)]).to.deep.equal(["no", true, ["called"]]);
    });

    it("fail with the error of the token source, and open no stream", async () => {
      const cause = new Error("the vault is sealed");
      const credentials = clientCredentials({
        token: () => {
          throw cause;
        },
      });
      const { client, service } = await stage.scripted({ isBlacklisted: answered }, { credentials });
      const { code, cause: kept } = await failure(client.isBlacklisted("a"));
      expect([code, kept, service.streams.begun, service.calls]).to.deep.equal([
        "UNAUTHENTICATED",
        cause,
        0,
        [],
      ]);
    });

    it("time out if no token arrives, and open no stream when the client is closed meanwhile", async () => {
      let give = (_: string) => {};
      const credentials = clientCredentials({
        token: () =>
          new Promise<string>((resolve) => {
            give = resolve;
          }),
      });
      const { client, service } = await stage.scripted({ isBlacklisted: answered }, { credentials });
      const { code } = await failure(client.isBlacklisted("a", { timeoutMs: 20 }));
      const pending = failure(client.isBlacklisted("a"));
      await turn();
      client.close();
      give("too-late");
      expect([code, (await pending).code, service.streams.begun]).to.deep.equal([
        "DEADLINE_EXCEEDED",
        "CANCELLED",
        0,
      ]);
    });
  });

  it("send each caller's metadata on the same stream", async () => {
    let made = 0;
    const { client, service } = await stage.scripted(
      { isBlacklisted: answered },
      { metadata: () => ({ traceparent: `00-1-${++made}-01` }) },
    );
    for (const jti of ["a", "bad"]) await client.isBlacklisted(jti);
    expect([ways(service), service.streams.begun, service.calls.map(traceparents)]).to.deep.equal([
      ["streamed", "streamed"],
      1,
      [["00-1-1-01"], ["00-1-2-01"]],
    ]);
  });

  it("send each caller's metadata as calls, too, when a stream does not respond", async () => {
    const { streams, take } = holdStreams();
    const { client, service } = await stage.scripted(
      { isBlacklisted: answered },
      { clock, metadata: () => ({ traceparent: "00-1-2-01" }), streams: take },
    );
    const check = client.isBlacklisted("bad");
    await soon(() => streams.length === 1, "the stream begins");
    streams[0]?.fail("UNIMPLEMENTED");
    expect([await check, ways(service), service.calls.map(traceparents)]).to.deep.equal([
      true,
      ["called"],
      [["00-1-2-01"]],
    ]);
  });

  describe("when the client is closed", () => {
    it("reject, and leave no stream behind, not even one that is about to end", async () => {
      const { streams, take } = holdStreams();
      const { client, service } = await stage.scripted({ isBlacklisted: answered }, { clock, streams: take });
      const first = client.isBlacklisted("a");
      await soon(() => streams.length === 1, "the first stream begins");
      streams[0]?.answer((await streams[0].asked(1))[0] as number, FINE);
      await first;
      clock.advance(2 * SECOND_MS);
      await streams[0]?.isLeft("done");
      const pending = failure(client.isBlacklisted("b"));
      await soon(() => streams.length === 2, "the second stream begins");
      await streams[1]?.asked(1);
      client.close();
      const { code } = await pending;
      await soon(() => service.streams.open === 0, "the service has none left");
      expect([code, clock.pendingTimers, (await failure(client.isBlacklisted("c"))).code]).to.deep.equal([
        "CANCELLED",
        0,
        "CANCELLED",
      ]);
    });
  });
});

const traceparents = ({ metadata }: ScriptedService["calls"][number]) => metadata.get("traceparent");
