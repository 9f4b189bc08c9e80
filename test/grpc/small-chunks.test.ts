import { once } from "node:events";
import { connect, createServer, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { expect } from "chai";
import { describe, it } from "mocha";
import { copySmallChunks } from "../../src/grpc/small-chunks.ts";

describe("what an HTTP/2 stream receives", () => {
  it("keeps at most twice its size in memory", async () => {
    const server = createServer();
    const received: Buffer[] = [];
    server.on("stream", (stream: ServerHttp2Stream) => {
      copySmallChunks(stream);
      stream.on("data", (chunk: Buffer) => received.push(chunk));
      stream.on("end", () => stream.respond({ ":status": 200 }, { endStream: true }));
    });
    await once(server.listen(0, "127.0.0.1"), "listening");
    const client = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    const sent: Buffer[] = [];
    const send = async (body: Buffer) => {
      sent.push(body);
      const call = client.request({ ":method": "POST" });
      call.resume().end(body);
      await once(call, "close");
    };
    try {
      // Makes the kind of stream known; its own first part is received before that.
      await send(Buffer.alloc(1));
      received.length = 0;
      sent.length = 0;
      for (const size of [1, 100, 5000, 16_384, 60_000]) await send(Buffer.alloc(size, size % 251));
      expect(Buffer.concat(received).equals(Buffer.concat(sent))).to.equal(true);
      for (const { buffer, length } of received) {
        expect(buffer.byteLength).to.be.at.most(2 * length);
      }
      // A whole message too, since grpc-js keeps it as long as the stream is open.
      received.length = 0;
      await send(Buffer.from([0, 0, 0, 0, 2, 1, 2]));
      expect(received.map(({ buffer, length }) => buffer.byteLength > 2 * length)).to.deep.equal([false]);
    } finally {
      client.close();
      server.close();
    }
  });
});
