import { once } from "node:events";
import { type ClientHttp2Stream, constants } from "node:http2";
import { create, toBinary } from "@bufbuild/protobuf";
import { expect } from "chai";
import { after, before, describe, it } from "mocha";
import {
  IsBlacklistedRequestSchema,
  ListRequestSchema,
} from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { MAX_CONCURRENT_STREAMS, MAX_UNAUTHENTICATED_STREAMS } from "../../src/limits.ts";
import { backends, type FreshDatabase } from "../support/backends.ts";
import { watchHealth } from "../support/health-client.ts";
import { framed, Http2Connection } from "../support/http2-call.ts";
import { methodPath, RawChannel } from "../support/raw-channel.ts";
import { YEAR_2100 } from "../support/revoke.ts";
import { type RunningService, startService } from "../support/service.ts";
import { until } from "../support/until.ts";

describe("the resources that one client can use", () => {
  const [backend] = backends;
  let database: FreshDatabase;
  let running: RunningService;

  before(async () => {
    database = (await backend?.create()) as FreshDatabase;
    running = await startService({ url: database.url });
  });
  after(async () => {
    await running?.stop();
    await database?.dispose();
  });

  function open(http2: Http2Connection, path: string): ClientHttp2Stream {
    const headers = { ":method": "POST", ":path": path, "content-type": "application/grpc", te: "trailers" };
    const stream = http2.session.request(headers);
    stream.on("error", () => {});
    return stream;
  }

  it("are 100 streams on one connection, and 32 before it is authenticated", async () => {
    const http2 = await Http2Connection.open(running.address);
    const allowed = () => http2.session.remoteSettings.maxConcurrentStreams;
    try {
      expect([MAX_UNAUTHENTICATED_STREAMS, MAX_CONCURRENT_STREAMS]).to.deep.equal([32, 100]);
      expect(allowed()).to.equal(MAX_UNAUTHENTICATED_STREAMS);
      open(http2, methodPath("IsBlacklisted"));
      await until(() => allowed() === MAX_CONCURRENT_STREAMS, {
        withinMs: 2000,
        what: "the client has the limit",
      });
    } finally {
      await http2.close();
    }
  });

  it("include no stream above the limit of its connection until another has ended", async () => {
    const http2 = await Http2Connection.open(running.address);
    try {
      // Never ended: each stays open. Streams above the server's limit wait in the client until one ends.
      const streams = Array.from({ length: MAX_CONCURRENT_STREAMS }, () =>
        open(http2, methodPath("IsBlacklisted")),
      );
      const bytes = toBinary(IsBlacklistedRequestSchema, create(IsBlacklistedRequestSchema, { jtis: ["a"] }));
      let answers = 0;
      // From Node 22 on, a stream that arrives while another ends may be refused: then it is retried.
      const answered = async (): Promise<boolean> => {
        const { code } = await http2.send(methodPath("IsBlacklisted"), framed(bytes));
        if (code === "OK") answers++;
        return code === "OK";
      };
      const last = answered();
      // Another connection is unaffected: these calls came later, and are answered earlier.
      for (let call = 0; call < 10; call++) await running.client.isBlacklisted({ jtis: ["a"] });
      expect(answers).to.equal(0);
      for (const stream of streams.slice(0, 10)) {
        stream.on("error", () => {});
        stream.close(constants.NGHTTP2_CANCEL);
      }
      await last;
      await until(() => answers > 0 || answered(), { withinMs: 2000, what: "the connection has room again" });
    } finally {
      await http2.close();
    }
  });

  it("leave other calls answered while the maximum of health watches is open", async function () {
    this.timeout(60_000);
    const channels = Array.from({ length: 40 }, () => new RawChannel(running.address));
    try {
      const watches = channels.flatMap((channel) => Array.from({ length: 25 }, () => watchHealth(channel)));
      await Promise.all(watches.map((watch) => watch.reaches("SERVING")));
      const took: number[] = [];
      for (let round = 0; round < 200; round++) {
        const began = performance.now();
        await running.client.isBlacklisted({ jtis: ["a"] });
        took.push(performance.now() - began);
      }
      took.sort((a, b) => a - b);
      expect(took[100], "the median").to.be.below(50);
      for (const watch of watches) watch.cancel();
      await Promise.all(watches.map((watch) => watch.ended));
    } finally {
      for (const channel of channels) channel.close();
    }
  });

  it("include a bounded share of the memory if the client never reads its responses", async function () {
    this.timeout(60_000);
    // An answer of 750 KB, far more than a connection's window of 64 KiB lets through.
    const tokens = Array.from({ length: 1000 }, (_, index) => ({
      token: { case: "jti" as const, value: `slow-${index}-${"x".repeat(200)}` },
      expiresAt: YEAR_2100,
      reason: "r".repeat(500),
    }));
    await running.client.blacklist({ tokens });
    const request = framed(toBinary(ListRequestSchema, create(ListRequestSchema, { pageSize: 1000 })));
    const http2 = await Http2Connection.open(running.address);
    const before = held();
    try {
      // Paused for good: received bytes are not consumed, so the window never opens again.
      const streams = Array.from({ length: 400 }, () => open(http2, methodPath("List")).pause());
      for (const stream of streams) stream.end(request);
      await Promise.all(streams.map((stream) => once(stream, "response")));
      expect(held() - before).to.be.below(100 * 1024 * 1024);
      expect((await running.client.isBlacklisted({ jtis: ["a"] })).verdicts).to.have.length(1);
    } finally {
      await http2.close();
    }
  });
});

/** Bytes in buffers of any kind. */
function held(): number {
  const { external, heapUsed } = process.memoryUsage();
  return external + heapUsed;
}
