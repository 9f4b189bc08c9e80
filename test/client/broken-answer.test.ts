import { createServer, type Http2Server, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { create, toBinary } from "@bufbuild/protobuf";
import { expect } from "chai";
import { IsBlacklistedResponseSchema, Verdict } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { opened } from "./opened.ts";

const HEADERS = { ":status": 200, "content-type": "application/grpc" };

function answer(stream: ServerHttp2Stream): void {
  const message = toBinary(
    IsBlacklistedResponseSchema,
    create(IsBlacklistedResponseSchema, { verdicts: [Verdict.NOT_BLACKLISTED], revision: "1" }),
  );
  const frame = Buffer.alloc(5 + message.length);
  frame.writeUInt32BE(message.length, 1);
  frame.set(message, 5);
  stream.respond(HEADERS, { waitForTrailers: true });
  stream.once("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
  stream.end(frame);
}

/** Acts as a proxy whose server is killed in the middle of a response. */
function cutResponse(stream: ServerHttp2Stream): void {
  stream.respond(HEADERS);
  stream.end();
}

describe("a response that ends before its status", () => {
  let server: Http2Server;
  let address: string;
  let broken: number;
  let calls: number;

  beforeEach(async () => {
    calls = 0;
    server = createServer();
    server.on("stream", (stream) => {
      stream.on("error", () => {}).resume();
      if (calls++ < broken) cutResponse(stream);
      else answer(stream);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterEach(() => new Promise<void>((resolve) => server.close(() => resolve())));

  it("is retried", async () => {
    broken = 2;
    const { client } = opened(address);
    try {
      expect({ answer: await client.isBlacklisted("x"), calls }).to.deep.equal({ answer: false, calls: 3 });
    } finally {
      client.close();
    }
  });

  // The first question uses a stream, where such an end looks like a missing response: half of the time has passed by then.
  it("is no verdict, however often it occurs", async () => {
    broken = Number.POSITIVE_INFINITY;
    const { client } = opened(address);
    try {
      const failed = await client.isBlacklisted("x", { timeoutMs: 600 }).then(
        (verdict) => verdict,
        ({ code }: { code: string }) => code,
      );
      expect(failed).to.equal("UNAVAILABLE");
      expect(calls).to.be.above(1);
    } finally {
      client.close();
    }
  });
});
