import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { type ClientHttp2Stream, constants, createServer, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import { expect } from "chai";
import { IsBlacklistedRequestSchema } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { MAX_UNANSWERED_BYTES } from "../../src/admission/admission.ts";
import { IncomingCalls } from "../../src/grpc/incoming-call.ts";
import {
  CLIENT_END_MS,
  LARGE_REQUEST_BYTES,
  MAX_CONCURRENT_STREAMS,
  MAX_LARGE_HEADERS_BYTES,
  MAX_OPEN_CALLS,
  MAX_RECEIVE_MS,
  MAX_REQUEST_BYTES,
  MAX_UNFINISHED_BYTES,
  MAX_UNFINISHED_CONNECTION_BYTES,
  WAITING_CALL_BYTES,
} from "../../src/limits.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { framed, Http2Connection } from "../support/http2-call.ts";
import { createSigningKey, keySetOf, signToken } from "../support/issuer.ts";
import { callHeaders, FLAG, FRAME, frame, RawHttp2 } from "../support/raw-http2.ts";
import { scrape } from "../support/scrape.ts";
import { type RunningService, startService } from "../support/service.ts";
import { freshFolder } from "../support/shared.ts";
import { until } from "../support/until.ts";

/** The beginning of a message that announces this many bytes. */
function announced(bytes: number): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(bytes, 1);
  return head;
}

const IS_BLACKLISTED = "/tokenblacklist.v1.TokenBlacklist/IsBlacklisted";
const BLACKLIST = "/tokenblacklist.v1.TokenBlacklist/Blacklist";

/** A message of one unknown field with this many bytes. */
function unknownField(bytes: number): Buffer {
  const length = [bytes & 0x7f, (bytes >> 7) & 0x7f, (bytes >> 14) & 0x7f].map((part) => part | 0x80);
  return Buffer.concat([Buffer.from([0x7a, ...length, bytes >> 21]), Buffer.alloc(bytes)]);
}

/** A call whose body has not ended, and the name of the code that it ends with. */
class OpenCall {
  readonly stream: ClientHttp2Stream;
  code: string | undefined;
  /** Of its headers and trailers. */
  readonly fields: Record<string, unknown> = {};

  constructor(http2: Http2Connection, method: string, headers: Readonly<Record<string, string>> = {}) {
    this.stream = http2.session.request({
      ":method": "POST",
      ":path": method.startsWith("/") ? method : `/tokenblacklist.v1.TokenBlacklist/${method}`,
      ...{ "content-type": "application/grpc", te: "trailers", ...headers },
    });
    const read = (fields: Record<string, unknown>) => {
      Object.assign(this.fields, fields);
      if (fields["grpc-status"] !== undefined) this.code = status[Number(fields["grpc-status"])];
    };
    this.stream
      .on("response", read)
      .on("trailers", read)
      .on("error", () => {});
    this.stream.resume();
  }

  ends(): Promise<void> {
    return until(() => this.code !== undefined, { withinMs: 5000, what: "the call has ended" });
  }
}

describe("a call before its message has arrived", () => {
  let folder: string;
  let running: RunningService;
  let http2: Http2Connection;

  async function serve(options: { env?: Record<string, string>; clock?: FakeClock } = {}): Promise<void> {
    folder = await freshFolder();
    running = await startService({ url: `sqlite:${join(folder, "x.db")}`, ...options });
    http2 = await Http2Connection.open(running.address);
  }
  afterEach(async () => {
    await http2?.close();
    await running?.stop();
  });

  it("is refused by its headers alone, without a credential", async () => {
    const keys = join(await freshFolder(), "keys.json");
    await writeFile(keys, keySetOf(await createSigningKey("k1")));
    await serve({ env: { AUTH_JWKS_FILE: keys, AUTH_ISSUER: "https://id.test", AUTH_AUDIENCE: "us" } });
    const codes = [];
    for (const method of ["Blacklist", "IsBlacklisted", "List", "Prune", "StreamChecks", "Watch"]) {
      for (const authorization of [undefined, "Bearer e30.e30.e30", "Basic eDp5"]) {
        const call = new OpenCall(http2, method, authorization === undefined ? {} : { authorization });
        await call.ends();
        codes.push(call.code);
      }
    }
    expect(codes).to.deep.equal(codes.map(() => "UNAUTHENTICATED"));
    // Counted and logged like every call.
    const logged = running.logs().filter(({ msg, code }) => msg === "call" && code === "UNAUTHENTICATED");
    expect(logged).to.have.length(codes.length);
  });

  it("is refused if compressed, with the accepted encodings, and is counted and logged like other calls", async () => {
    await serve();
    const ours = ["Blacklist", "IsBlacklisted", "List", "Prune", "StreamChecks", "Watch"];
    const others = [
      "/grpc.health.v1.Health/Check",
      "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    ];
    for (const method of [...ours, ...others]) {
      const call = new OpenCall(http2, method, { "grpc-encoding": "gzip" });
      await call.ends();
      expect([method, call.code, call.fields["grpc-accept-encoding"]]).to.deep.equal([
        method,
        "UNIMPLEMENTED",
        "identity",
      ]);
    }
    const handled = (await scrape(running.adminUrl)).get("grpc_server_handled_total");
    const counted = handled?.series.filter(
      ({ labels, value }) => labels.grpc_code === "Unimplemented" && value > 0,
    );
    expect(counted?.map(({ labels, value }) => `${labels.grpc_method} ${value}`).sort()).to.deep.equal(
      [...ours, "Check", "ServerReflectionInfo"].map((method) => `${method} 1`).sort(),
    );
    const logged = running
      .logs()
      .filter(({ msg, reason }) => msg === "call" && reason === "UNSUPPORTED_ENCODING");
    expect(logged.map(({ method }) => method).sort()).to.deep.equal(ours.toSorted());
  });

  it("may arrive in frames as small as packets; in frames of one byte it closes the connection", async () => {
    await serve();
    const raw = await RawHttp2.open(running.address);
    const call = callHeaders(IS_BLACKLISTED);
    const jtis = Array.from({ length: 1000 }, (_, index) => `${index}`.padStart(200, "0"));
    const message = framed(
      toBinary(IsBlacklistedRequestSchema, create(IsBlacklistedRequestSchema, { jtis })),
    );
    const send = (stream: number, bytes: number) => {
      raw.socket.write(frame(FRAME.headers, FLAG.endHeaders, stream, call));
      for (let at = 0; at < message.length; at += bytes) {
        raw.socket.write(frame(FRAME.data, 0, stream, message.subarray(at, at + bytes)));
      }
      raw.socket.write(frame(FRAME.data, FLAG.endStream, stream));
    };
    const closed = async () =>
      (await scrape(running.adminUrl))
        .get("tokenblacklist_connections_closed_total")
        ?.series.find(({ labels }) => labels.reason === "flooding")?.value;
    try {
      // A client waits for windows: the first is of 65,535 bytes.
      raw.socket.write(frame(FRAME.settings, FLAG.ack, 0));
      message.fill(0, 60_000);
      send(1, 1400);
      await until(() => (raw.received.get(FRAME.headers) ?? 0) > 0, {
        withinMs: 5000,
        what: "headers are received",
      });
      expect([raw.isClosed, await closed()]).to.deep.equal([false, 0]);
      send(3, 1);
      expect(await raw.closesWithin(5000)).to.equal(true);
      expect(await closed()).to.equal(1);
    } finally {
      raw.close();
    }
  });

  it("is refused while the large headers of others hold their maximum, and may be retried", async () => {
    await serve();
    const large = { tracestate: "v".repeat(15_000), baggage: "v".repeat(12_000) };
    const most = Math.floor(MAX_LARGE_HEADERS_BYTES / 27_000);
    const connections = await Promise.all(
      Array.from({ length: Math.ceil(most / MAX_CONCURRENT_STREAMS) }, () =>
        Http2Connection.open(running.address),
      ),
    );
    const check = () => http2.send(IS_BLACKLISTED, framed(Buffer.of(10, 1, 97)));
    try {
      for (const connection of connections) {
        await connection.send(IS_BLACKLISTED, framed(Buffer.of(10, 1, 97)));
      }
      const calls = connections.flatMap((connection) =>
        Array.from({ length: MAX_CONCURRENT_STREAMS }, () => new OpenCall(connection, IS_BLACKLISTED, large)),
      );
      await until(() => calls.some(({ stream }) => stream.closed), { withinMs: 10_000, what: "a refusal" });
      const refused = calls.filter(({ stream }) => stream.closed);
      expect(new Set(refused.map(({ stream }) => stream.rstCode))).to.deep.equal(
        new Set([constants.NGHTTP2_REFUSED_STREAM]),
      );
      // Calls with small headers go on.
      expect((await check()).code).to.equal("OK");
    } finally {
      for (const connection of connections) await connection.close();
    }
    await until(
      async () => {
        const { stream } = new OpenCall(http2, IS_BLACKLISTED, large);
        await check();
        return !stream.closed;
      },
      { withinMs: 5000, what: "there is room again" },
    );
  });

  it("keeps no large headers that are not read", async () => {
    await serve();
    const large = { "x-large": "v".repeat(15_000), "x-larger": "v".repeat(12_000) };
    const most = Math.floor(MAX_LARGE_HEADERS_BYTES / 27_000);
    const connections = await Promise.all(
      Array.from({ length: Math.ceil(most / MAX_CONCURRENT_STREAMS) }, () =>
        Http2Connection.open(running.address),
      ),
    );
    try {
      const calls: OpenCall[] = [];
      for (const connection of connections) {
        await connection.send(IS_BLACKLISTED, framed(Buffer.of(10, 1, 97)));
        for (let open = 1; open < MAX_CONCURRENT_STREAMS; open++) {
          calls.push(new OpenCall(connection, IS_BLACKLISTED, large));
        }
        await connection.send(IS_BLACKLISTED, framed(Buffer.of(10, 1, 97)));
      }
      expect(calls.length).to.be.above(most - 10);
      expect(calls.filter(({ stream }) => stream.closed)).to.deep.equal([]);
    } finally {
      for (const connection of connections) await connection.close();
    }
  });

  it("ends when many wait for their messages, the one that has waited longest first, and other connections go on", async () => {
    await serve();
    const connections = await Promise.all(
      Array.from({ length: 24 }, () => Http2Connection.open(running.address)),
    );
    const stream = new OpenCall(http2, "StreamChecks");
    stream.stream.write(announced(100));
    const others = [stream, new OpenCall(http2, "/grpc.health.v1.Health/Check")];
    try {
      const calls: OpenCall[] = [];
      for (const connection of connections) {
        await connection.send(IS_BLACKLISTED, framed(Buffer.of(10, 1, 97)));
        for (let open = 1; open < MAX_CONCURRENT_STREAMS; open++)
          calls.push(new OpenCall(connection, "Blacklist"));
        // It needs no room, although all is taken in the end.
        const check = await http2.send(IS_BLACKLISTED, framed(Buffer.of(10, 1, 97)));
        expect(check.code).to.equal("OK");
      }
      const isOpen = ({ code, stream }: OpenCall) => code === undefined && !stream.closed;
      // Connections whose calls are refused are not read for 400 ms each time.
      let [before, since] = [0, performance.now()];
      await until(
        () => {
          const count = calls.filter(isOpen).length;
          if (count !== before) [before, since] = [count, performance.now()];
          return performance.now() - since > 1000;
        },
        { withinMs: 15_000, what: "all calls have been admitted or refused" },
      );
      expect(before).to.be.below(MAX_UNFINISHED_BYTES / WAITING_CALL_BYTES);
      expect(calls[0]?.code).to.equal("RESOURCE_EXHAUSTED");
      // They occupy no room, so that their end would give none.
      expect(others.map(isOpen)).to.deep.equal([true, true]);
      // A large message takes the room of many; this one is refused for its content.
      const large = await http2.send(
        "/tokenblacklist.v1.TokenBlacklist/Blacklist",
        framed(Buffer.alloc(300_000, Buffer.of(0x7a, 0))),
      );
      expect(large.code).to.equal("INVALID_ARGUMENT");
      // A new one takes the room of the longest wait.
      const open = calls.filter(isOpen);
      const newest = new OpenCall(http2, "Blacklist");
      await until(() => !isOpen(open[0] as OpenCall), { withinMs: 5000, what: "the longest wait has ended" });
      expect(isOpen(newest)).to.equal(true);
    } finally {
      for (const connection of connections) await connection.close();
    }
  });

  it("is limited in number also after it, while the client does not half-close", async () => {
    await serve();
    const connections = await Promise.all(
      Array.from({ length: 5 }, () => Http2Connection.open(running.address)),
    );
    // A thousand tokens in 4 KiB, which fail only once the client has half-closed.
    const message = framed(Buffer.alloc(2002, Buffer.of(10, 0)));
    try {
      const calls: OpenCall[] = [];
      for (const connection of connections) {
        await connection.send(IS_BLACKLISTED, framed(Buffer.of(10, 1, 97)));
        for (let open = 1; open < MAX_CONCURRENT_STREAMS; open++) {
          const call = new OpenCall(connection, "Blacklist");
          call.stream.write(message);
          calls.push(call);
        }
      }
      const open = () => calls.filter(({ code, stream }) => code === undefined && !stream.closed).length;
      await until(() => open() <= MAX_UNFINISHED_BYTES / (128 * 1024), {
        withinMs: 5000,
        what: "calls are refused",
      });
      expect(open()).to.be.above(100);
    } finally {
      for (const connection of connections) await connection.close();
    }
  });

  it("is refused once its announced length is too large", async () => {
    await serve();
    const announcing = new OpenCall(http2, "IsBlacklisted");
    announcing.stream.write(announced(1024 * 1024));
    const declaring = new OpenCall(http2, "IsBlacklisted", { "content-length": String(1024 * 1024) });
    await Promise.all([announcing.ends(), declaring.ends()]);
    expect([announcing.code, declaring.code]).to.deep.equal(["INVALID_ARGUMENT", "INVALID_ARGUMENT"]);
  });

  it("uses a bounded share of the memory for all calls of a connection, and other connections continue", async () => {
    await serve();
    const calls = Array.from({ length: 60 }, () => new OpenCall(http2, "Blacklist"));
    const part = Buffer.alloc(MAX_REQUEST_BYTES / 8);
    for (const { stream } of calls) stream.write(announced(MAX_REQUEST_BYTES));
    for (let sent = 0; sent < 7; sent++) {
      await Promise.all(
        calls
          .filter(({ code }) => code === undefined)
          .map(({ stream }) => new Promise<void>((resolve) => stream.write(part, () => resolve()))),
      );
    }
    await until(() => calls.some(({ code }) => code !== undefined), {
      withinMs: 5000,
      what: "some calls are refused",
    });
    expect((await running.client.isBlacklisted({ jtis: ["a"] })).verdicts).to.have.length(1);
    const refused = calls.filter(({ code }) => code !== undefined);
    expect(new Set(refused.map(({ code }) => code))).to.deep.equal(new Set(["RESOURCE_EXHAUSTED"]));
    expect(calls.length - refused.length).to.be.at.most(
      Math.ceil(MAX_UNFINISHED_CONNECTION_BYTES / (part.length * 5)),
    );
  });

  it("has a limited time to arrive, independent of its deadline", async () => {
    const clock = new FakeClock(Date.now());
    await serve({ clock });
    const waiting = new OpenCall(http2, "Blacklist", { "grpc-timeout": "1000H" });
    waiting.stream.write(announced(100));
    await until(() => clock.pendingTimers > 0, { withinMs: 5000, what: "the timer is running" });
    // The call may not have arrived yet: the clock advances until it has.
    await until(
      () => {
        clock.advance(MAX_RECEIVE_MS / 4);
        return waiting.code !== undefined;
      },
      { withinMs: 5000, what: "the call has timed out" },
    );
    expect(waiting.code).to.equal("DEADLINE_EXCEEDED");
  });

  it("uses at most its caller's share, over all connections of the caller", async () => {
    const keys = join(await freshFolder(), "keys.json");
    const key = await createSigningKey("k1");
    await writeFile(keys, keySetOf(key));
    await serve({ env: { AUTH_JWKS_FILE: keys, AUTH_ISSUER: "https://id.test", AUTH_AUDIENCE: "us" } });
    const exp = Math.floor(Date.now() / 1000) + 600;
    const bearer = async (sub: string, scope: string) => ({
      authorization: `Bearer ${await signToken(key, { iss: "https://id.test", aud: "us", exp, sub, scope })}`,
    });
    const greedy = await bearer("greedy", "check");
    const connections = await Promise.all([1, 2, 3, 4].map(() => Http2Connection.open(running.address)));
    const calls = connections.flatMap((connection) =>
      [1, 2, 3, 4].map(() => new OpenCall(connection, "StreamChecks", greedy)),
    );
    for (const { stream } of calls) {
      stream.write(announced(MAX_REQUEST_BYTES));
      await new Promise<void>((resolve) =>
        stream.write(Buffer.alloc(MAX_REQUEST_BYTES - 1000), () => resolve()),
      );
    }
    await until(() => calls.some(({ code }) => code !== undefined), {
      withinMs: 10_000,
      what: "some calls are refused",
    });
    const large = unknownField(MAX_REQUEST_BYTES - 1000);
    const other = await http2.send(BLACKLIST, framed(large), await bearer("other", "revoke"));
    for (const connection of connections) await connection.close();
    // It has arrived, and has no tokens.
    expect(other.code).to.equal("INVALID_ARGUMENT");
  });

  it("is refused in too many chunks if its method needs no authentication, since its memory is not counted elsewhere", async () => {
    await serve();
    const call = new OpenCall(http2, "/grpc.health.v1.Health/Check");
    call.stream.write(announced(500).subarray(0, 4));
    for (let sent = 0; sent < 100 && call.code === undefined; sent++) {
      await new Promise<void>((resolve) => call.stream.write(Buffer.alloc(1, 200), () => resolve()));
    }
    await call.ends();
    expect(call.code).to.equal("RESOURCE_EXHAUSTED");
  });

  it("is limited in number if its method needs no authentication, also on authenticated connections", async () => {
    await serve();
    const connections = await Promise.all(
      Array.from({ length: 45 }, () => Http2Connection.open(running.address)),
    );
    for (const connection of connections) await connection.send(IS_BLACKLISTED, framed(Buffer.of(10, 1, 97)));
    const checks = connections.flatMap((connection) =>
      Array.from(
        { length: MAX_CONCURRENT_STREAMS },
        () => new OpenCall(connection, "/grpc.health.v1.Health/Check"),
      ),
    );
    const refused = () => checks.filter(({ code }) => code !== undefined);
    await until(() => refused().length >= checks.length - MAX_OPEN_CALLS, {
      withinMs: 10_000,
      what: "the calls above the limit are refused",
    });
    expect(new Set(refused().map(({ code }) => code))).to.deep.equal(new Set(["RESOURCE_EXHAUSTED"]));
    for (const connection of connections) await connection.close();
    // Their places are free again.
    await until(
      async () => (await http2.send("/grpc.health.v1.Health/Check", framed(Buffer.of()))).code === "OK",
      { withinMs: 5000, what: "another call is answered" },
    );
  });

  it("leaves no stream open after its refusal, even if the client never half-closes", async () => {
    await serve();
    const calls = ["IsBlacklisted", "Watch", "/grpc.health.v1.Health/Check"].map(
      (method) => new OpenCall(http2, method, { "grpc-encoding": "gzip" }),
    );
    await until(() => calls.every(({ stream }) => stream.closed), {
      withinMs: 5000,
      what: "the service closes its streams",
    });
    // Not before it has sent the reason.
    expect(calls.map(({ code }) => code)).to.deep.equal(calls.map(() => "UNIMPLEMENTED"));
  });

  it("reserves no memory for a second message", async () => {
    await serve();
    const large = framed(unknownField(MAX_REQUEST_BYTES - 1000));
    for (let sent = 0; sent <= MAX_UNANSWERED_BYTES / MAX_REQUEST_BYTES; sent++) {
      const twice = await http2.send(BLACKLIST, Buffer.concat([large, large]));
      expect(twice.code).to.equal("UNIMPLEMENTED");
    }
    // It has no tokens. The earlier ones have left nothing behind.
    expect((await http2.send(BLACKLIST, large)).code).to.equal("INVALID_ARGUMENT");
  });

  it("takes no place on its connection once refused, however large its body", async () => {
    await serve();
    const large = framed(unknownField(4 * LARGE_REQUEST_BYTES - 100));
    const codes = new Set<string | undefined>();
    for (let round = 0; round < 30; round++) {
      const headers = { "grpc-encoding": "gzip" };
      const answers = await Promise.all(
        Array.from({ length: 10 }, () => http2.send(BLACKLIST, large, headers)),
      );
      for (const { code } of answers) codes.add(code);
    }
    expect([...codes]).to.deep.equal(["UNIMPLEMENTED"]);
  });

  it("has the same time for later messages of a stream, and none between messages", async () => {
    const clock = new FakeClock(Date.now());
    await serve({ clock });
    const resting = new OpenCall(http2, "StreamChecks");
    const unfinished = new OpenCall(http2, "StreamChecks");
    unfinished.stream.write(announced(100));
    await until(
      () => {
        clock.advance(MAX_RECEIVE_MS / 4);
        return unfinished.code !== undefined;
      },
      { withinMs: 5000, what: "the call has timed out" },
    );
    expect([unfinished.code, resting.code]).to.deep.equal(["DEADLINE_EXCEEDED", undefined]);
    resting.stream.destroy();
  });

  it("leaves nothing behind when its client disconnects", async () => {
    await serve();
    const calls = Array.from({ length: 8 }, () => new OpenCall(http2, "Blacklist"));
    for (const { stream } of calls) stream.write(announced(100));
    // It is answered after the others have begun: a call that begins only after the disconnection leaves no log line.
    await http2.send(IS_BLACKLISTED, framed(Buffer.of(10, 1, 97)));
    await http2.close();
    const seen = () =>
      running.logs().filter(({ msg, code }) => msg === "call" && code === "CANCELLED").length;
    await until(() => seen() === calls.length, { withinMs: 5000, what: "all calls have ended" });
  });
});

describe("a refused call", () => {
  it("keeps nothing of a large body that nobody reads, once its client has ended it", async () => {
    const clock = new FakeClock();
    const calls = new IncomingCalls({ clock, connectionOf: () => undefined });
    const server = createServer();
    const streams: ServerHttp2Stream[] = [];
    server.on("stream", (stream) => {
      streams.push(stream);
      stream.pause();
      stream.respond({ ":status": 200, "grpc-status": "16" }, { endStream: true });
      calls.closeSoon(stream);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const http2 = await Http2Connection.open(`127.0.0.1:${(server.address() as AddressInfo).port}`);
    try {
      const { code } = await http2.send(BLACKLIST, Buffer.alloc(3 * LARGE_REQUEST_BYTES));
      expect(code).to.equal("UNAUTHENTICATED");
      clock.advance(CLIENT_END_MS);
      await until(() => streams[0]?.destroyed === true, { withinMs: 2000, what: "its stream is released" });
      expect(clock.pendingTimers).to.equal(0);
    } finally {
      await http2.close();
      server.close();
    }
  });
});
