import { once } from "node:events";
import { createServer, type Http2Server, constants as http2, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { create, type DescMessage, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import { expect } from "chai";
import {
  IsBlacklistedResponseSchema,
  StreamChecksRequestSchema,
  StreamChecksResponseSchema,
  Verdict,
} from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { FakeClock } from "../support/fake-clock.ts";
import { FaultProxy } from "../support/fault-proxy.ts";
import { freePort } from "../support/free-port.ts";
import { until } from "../support/until.ts";
import { Stage } from "./opened.ts";
import { startScripted } from "./scripted-service.ts";
import { type Refusal, startUnaryProxy } from "./unary-proxy.ts";

const HEADERS = { ":status": 200, "content-type": "application/grpc" };
const ANSWER = { verdicts: [Verdict.BLACKLISTED], revision: "1" };

function frame<S extends DescMessage>(schema: S, init: MessageInitShape<S>): Buffer {
  const message = toBinary(schema, create(schema, init));
  const framed = Buffer.alloc(5 + message.length);
  framed.writeUInt32BE(message.length, 1);
  framed.set(message, 5);
  return framed;
}

/** Half of a message with its full length announced. */
const TORN = Buffer.from([0, 0, 0, 0, 100, 1, 2, 3]);

/** The ways in which a stream with a question may end. */
const ENDS: Record<string, (stream: ServerHttp2Stream) => void> = {
  ...Object.fromEntries(
    Object.entries(status)
      .filter(([, code]) => typeof code === "number")
      .map(([name, code]) => [
        `the status ${name}`,
        (stream: ServerHttp2Stream) => finish(stream, String(code)),
      ]),
  ),
  "a status that is not a number": (stream) => finish(stream, "fine"),
  ...Object.fromEntries(
    (
      [
        "NGHTTP2_NO_ERROR",
        "NGHTTP2_PROTOCOL_ERROR",
        "NGHTTP2_INTERNAL_ERROR",
        "NGHTTP2_FLOW_CONTROL_ERROR",
        "NGHTTP2_STREAM_CLOSED",
        "NGHTTP2_REFUSED_STREAM",
        "NGHTTP2_CANCEL",
        "NGHTTP2_ENHANCE_YOUR_CALM",
        "NGHTTP2_INADEQUATE_SECURITY",
      ] as const
    ).map((name) => [
      `RST_STREAM ${name.slice(8)}`,
      (stream: ServerHttp2Stream) => stream.close(http2[name]),
    ]),
  ),
  "a closed connection": (stream) => stream.session?.destroy(),
  "a connection closed with GOAWAY": (stream) => void stream.session?.close(),
  "END_STREAM without a status": (stream) => void stream.end(),
  "half a message": (stream) => void stream.end(TORN),
  "half a message and RST_STREAM": (stream) => {
    stream.write(TORN);
    stream.close(http2.NGHTTP2_INTERNAL_ERROR);
  },
  "a message that cannot be decoded": (stream) => void stream.write(Buffer.from([0, 0, 0, 0, 2, 255, 255])),
  "a message with an unknown compression": (stream) => void stream.write(Buffer.from([1, 0, 0, 0, 1, 0])),
  "a message of 4 GiB": (stream) => void stream.write(Buffer.from([0, 255, 255, 255, 255, 0])),
};

function finish(stream: ServerHttp2Stream, code: string): void {
  stream.once("wantTrailers", () => stream.sendTrailers({ "grpc-status": code }));
  stream.end();
}

describe("the end of a stream of checks", () => {
  const stage = new Stage();
  let server: Http2Server;
  let address: string;
  /** Ends a stream whose question has arrived. */
  let end: (stream: ServerHttp2Stream) => void;
  /** The numbers, from 1, of the questions that end their stream; the others are answered. */
  let isEndedAt: (number: number) => boolean;
  let asked: { streamed: number; called: number };

  beforeEach(async () => {
    asked = { streamed: 0, called: 0 };
    server = createServer();
    server.on("session", (session) => server.once("stop", () => session.destroy()));
    server.on("stream", (stream, headers) => {
      stream.on("error", () => {});
      const isStream = headers[":path"]?.endsWith("/StreamChecks") ?? false;
      stream.respond(HEADERS, { waitForTrailers: true });
      stream.on("data", (chunk: Buffer) => {
        if (!isStream) {
          asked.called++;
          stream.write(frame(IsBlacklistedResponseSchema, ANSWER));
          finish(stream, "0");
          return;
        }
        const { id } = fromBinary(StreamChecksRequestSchema, chunk.subarray(5));
        if (isEndedAt(++asked.streamed)) end(stream);
        else
          stream.write(frame(StreamChecksResponseSchema, { id, outcome: { case: "answer", value: ANSWER } }));
      });
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  });

  afterEach(() => {
    stage.close();
    server.close();
    server.emit("stop");
  });

  for (const [how, howToEnd] of Object.entries(ENDS)) {
    it(`by ${how}, as its first message, makes its questions calls`, async () => {
      [end, isEndedAt] = [howToEnd, () => true];
      const { client } = stage.client(address);
      const checks = [client.isBlacklisted("a", { timeoutMs: 600 })];
      checks.push(client.isBlacklisted("b", { timeoutMs: 600, maxStalenessMs: 1 }));
      expect({ answers: await Promise.all(checks), calls: asked.called }).to.deep.equal({
        answers: [true, true],
        calls: 2,
      });
    });

    it(`by ${how}, later on, retries its question, and the next one is answered by another stream`, async () => {
      [end, isEndedAt] = [howToEnd, (number) => number === 2];
      const { client } = stage.client(address);
      const answers: boolean[] = [];
      for (const jti of ["a", "b", "c"]) answers.push(await client.isBlacklisted(jti, { timeoutMs: 600 }));
      expect(answers).to.deep.equal([true, true, true]);
    });
  }
});

describe("checks whose connection fails", () => {
  const stage = new Stage();
  const proxies: FaultProxy[] = [];
  afterEach(async () => {
    stage.close();
    await Promise.all(proxies.splice(0).map((proxy) => proxy.close()));
  });

  /** Responds when released, or at once. */
  async function service(isHeld: () => boolean, port = 0) {
    const scripted = await startScripted(
      {
        isBlacklisted: async ({ jtis }, { cancelled }) => {
          if (isHeld()) await cancelled();
          return { verdicts: jtis.map(() => Verdict.BLACKLISTED), revision: "r" };
        },
      },
      { port },
    );
    return stage.use(scripted);
  }

  async function proxied(target: string): Promise<FaultProxy> {
    const proxy = await FaultProxy.start({ port: Number(target.split(":")[1]) });
    proxies.push(proxy);
    return proxy;
  }

  it("are retried on the next one", async () => {
    let isHeld = false;
    const scripted = await service(() => isHeld);
    const proxy = await proxied(scripted.address);
    const { client } = stage.client(`127.0.0.1:${proxy.port}`);
    await client.isBlacklisted("a");
    for (const fault of ["cut", "reset"] as const) {
      isHeld = true;
      scripted.forget();
      const checks = [client.isBlacklisted(`${fault}-b`, { timeoutMs: 10_000 })];
      checks.push(client.isBlacklisted(`${fault}-c`, { timeoutMs: 10_000, maxStalenessMs: 1 }));
      await until(() => scripted.calls.length === 2, { withinMs: 5000, what: "both checks have arrived" });
      isHeld = false;
      proxy[fault]();
      await until(() => client.state !== "ready" || scripted.calls.length > 2, {
        withinMs: 5000,
        what: "the client detects the failure",
      });
      await proxy.heal();
      expect(await Promise.all(checks)).to.deep.equal([true, true]);
    }
  });

  it("are retried at the next process when the first is killed", async () => {
    let isHeld = true;
    const port = await freePort();
    const first = await service(() => isHeld, port);
    const { client } = stage.client(first.address);
    const check = client.isBlacklisted("a", { timeoutMs: 10_000 });
    await until(() => first.calls.length === 1, { withinMs: 5000, what: "the check has arrived" });
    isHeld = false;
    first.stop();
    const second = await service(() => false, port);
    expect({ answer: await check, calls: second.calls.length }).to.deep.equal({ answer: true, calls: 1 });
  });

  it("are answered elsewhere within half of their time when the connection is half-open", async () => {
    const services = [await service(() => false), await service(() => false)];
    const dying = await proxied((services[0] as { address: string }).address);
    const clock = new FakeClock();
    const { client, events } = stage.client(
      [`127.0.0.1:${dying.port}`, (services[1] as { address: string }).address],
      { clock },
    );
    const known = () => services.every(({ calls }) => calls.length > 0);
    let count = 0;
    await until(
      async () => {
        await client.isBlacklisted(`${count++}`);
        // Long enough for the stream to end.
        clock.advance(2000);
        return known();
      },
      { withinMs: 5000, what: "both services are called" },
    );
    dying.blackhole();
    // From here on, time passes by itself.
    const passing = setInterval(() => clock.advance(20), 20);
    try {
      await until(
        async () => {
          const began = clock.monotonic();
          expect(await client.isBlacklisted(`${count++}`)).to.equal(true);
          expect(clock.monotonic() - began).to.be.below(1500);
          clock.advance(2000);
          return events.some(([name]) => name === "retried");
        },
        { withinMs: 10_000, what: "a question is lost at the dead service" },
      );
    } finally {
      clearInterval(passing);
    }
    expect(events.flatMap(([name, event]) => (name === "retried" ? [event] : []))).to.deep.equal([
      { code: "DEADLINE_EXCEEDED", waitMs: 0 },
    ]);
  });
});

describe("a proxy that passes no stream", () => {
  const stage = new Stage();
  afterEach(() => stage.close());

  async function through(refusal: Refusal) {
    const service = stage.use(
      await startScripted({
        isBlacklisted: ({ jtis }) => ({
          verdicts: jtis.map((jti) => (jti === "bad" ? Verdict.BLACKLISTED : Verdict.NOT_BLACKLISTED)),
          revision: "r",
        }),
      }),
    );
    const proxy = stage.use(await startUnaryProxy(service.address, refusal));
    const clock = new FakeClock();
    return { service, clock, ...stage.client(proxy.address, { clock }) };
  }

  for (const refusal of ["404", "reset"] as const) {
    it(`is bypassed with calls at once if it rejects streams by ${refusal}`, async () => {
      const { client, service, clock, events } = await through(refusal);
      const answers = [await client.isBlacklisted("bad"), await client.isBlacklisted("a")];
      expect({ answers, calls: service.calls.length, time: clock.monotonic() }).to.deep.equal({
        answers: [true, false],
        calls: 2,
        time: 0,
      });
      expect(events.filter(([name]) => name === "retried")).to.deep.equal([]);
    });
  }

  it("is bypassed with calls after half of one check's time if it buffers requests", async () => {
    const { client, service, clock } = await through("buffered");
    const check = client.isBlacklisted("bad");
    await until(() => clock.pendingTimers > 2, { withinMs: 5000, what: "the check is sent" });
    clock.advance(1000);
    const answers = [await check, await client.isBlacklisted("a")];
    expect({ answers, calls: service.calls.length }).to.deep.equal({ answers: [true, false], calls: 2 });
  });
});
