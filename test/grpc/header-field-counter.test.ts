import { expect } from "chai";
import {
  countFields,
  HeaderFieldCounter,
  MAX_COUNTED_BLOCK_BYTES,
} from "../../src/grpc/header-field-counter.ts";
import { MAX_CONCURRENT_STREAMS } from "../../src/limits.ts";
import { FLAG, FRAME, fieldBlock, frame } from "../support/raw-http2.ts";

const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

/** RFC 7541, appendix C, and what else there is: what was encoded, by how many fields it is. */
const BLOCKS: readonly (readonly [hex: string, fields: number | undefined, what: string])[] = [
  ["", 0, "nothing"],
  ["400a637573746f6d2d6b65790d637573746f6d2d686561646572", 1, "C.2.1, a literal with indexing"],
  ["040c2f73616d706c652f70617468", 1, "C.2.2, a literal without indexing, its name by index"],
  ["100870617373776f726406736563726574", 1, "C.2.3, a literal never indexed"],
  ["82", 1, "C.2.4, an indexed field"],
  ["828684410f7777772e6578616d706c652e636f6d", 4, "C.3.1, a request"],
  ["828684418cf1e3c2e5f23a6ba0ab90f4ff", 4, "C.4.1, a request, Huffman-coded"],
  ["828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf", 5, "C.4.3, a request of the table"],
  ["3fe11f82", 1, "a change of the table's size before a field"],
  ["203fe11f", 0, "two changes of the table's size"],
  [`7f00${"01"}61`, 1, "an index of two bytes with a value"],
  ["82ff", undefined, "an index that is cut off"],
  ["4003616263", undefined, "a literal without its value"],
  ["40036162", undefined, "a name that is cut off"],
  ["82400161ff", undefined, "a length that is cut off"],
  ["400161ffffffffffffffffffffff7f", undefined, "a length beyond all bounds"],
];

describe("countFields", () => {
  for (const [hex, fields, what] of BLOCKS) {
    it(`returns ${fields}: ${what}`, () => {
      expect(countFields(Buffer.from(hex, "hex"))).to.equal(fields);
    });
  }

  it("skips values of any length", () => {
    for (const length of [0, 1, 126, 127, 128, 254, 255, 256, 16_000]) {
      const block = fieldBlock([
        ["a", "x".repeat(length)],
        ["x".repeat(length), ""],
      ]);
      expect(countFields(block)).to.equal(2);
    }
  });
});

describe("HeaderFieldCounter", () => {
  const two = fieldBlock([
    ["a", "b"],
    ["c", "d"],
  ]);
  const three = Buffer.concat([two, Buffer.from([0x82])]);

  function counterOf(...frames: Buffer[]): HeaderFieldCounter {
    const counter = new HeaderFieldCounter();
    counter.push(Buffer.concat([PREFACE, ...frames]));
    return counter;
  }

  it("counts the same for any division into chunks", () => {
    const bytes = Buffer.concat([
      PREFACE,
      frame(FRAME.settings, 0, 0),
      frame(FRAME.headers, FLAG.endHeaders, 1, two),
      frame(FRAME.data, FLAG.endStream, 1, Buffer.alloc(70, 1)),
      frame(FRAME.headers, 0, 3, three.subarray(0, 4)),
      frame(FRAME.continuation, 0, 3, three.subarray(4, 5)),
      frame(FRAME.continuation, FLAG.endHeaders, 3, three.subarray(5)),
      frame(FRAME.ping, 0, 0, Buffer.alloc(8, 1)),
      frame(FRAME.headers, FLAG.endHeaders, 5, two),
    ]);
    for (let size = 1; size <= bytes.length; size++) {
      const counter = new HeaderFieldCounter();
      for (let at = 0; at < bytes.length; at += size) counter.push(bytes.subarray(at, at + size));
      expect([size, counter.takeCount(1), counter.takeCount(3), counter.takeCount(5)]).to.deep.equal([
        size,
        2,
        3,
        2,
      ]);
    }
  });

  it("treats later header blocks of a stream as trailers", () => {
    const end = FLAG.endHeaders | FLAG.endStream;
    const counter = counterOf(
      frame(FRAME.headers, FLAG.endHeaders, 1, two),
      frame(FRAME.headers, FLAG.endHeaders, 3, two),
      frame(FRAME.headers, end, 1, three),
    );
    expect([counter.takeCount(1), counter.takeCount(3)]).to.deep.equal([2, 2]);
  });

  it("has no count of a stream that was not opened, was claimed before, or precedes a claimed one", () => {
    const counter = counterOf(
      ...[1, 3, 5].map((stream) => frame(FRAME.headers, FLAG.endHeaders, stream, two)),
    );
    expect([
      counter.takeCount(3),
      counter.takeCount(3),
      counter.takeCount(1),
      counter.takeCount(7),
      counter.takeCount(5),
    ]).to.deep.equal([2, undefined, undefined, undefined, undefined]);
  });

  it("has no count of a malformed block, and continues", () => {
    const counter = counterOf(
      frame(FRAME.headers, FLAG.endHeaders, 1, Buffer.from([0x40, 9])),
      frame(FRAME.headers, FLAG.endHeaders, 3, two),
    );
    expect([counter.takeCount(1), counter.takeCount(3)]).to.deep.equal([undefined, 2]);
  });

  it("has no further counts of a connection that sent too large a block, in any frames", () => {
    const large = Buffer.alloc(MAX_COUNTED_BLOCK_BYTES + 1, 0x82);
    const parts = Array.from({ length: 5 }, (_, part) => large.subarray(part * 16_384, (part + 1) * 16_384));
    for (const block of [
      [frame(FRAME.headers, FLAG.endHeaders, 1, large)],
      parts.map((part, index) =>
        frame(index === 0 ? FRAME.headers : FRAME.continuation, index === 4 ? FLAG.endHeaders : 0, 1, part),
      ),
    ]) {
      const counter = counterOf(...block, frame(FRAME.headers, FLAG.endHeaders, 3, two));
      expect([counter.takeCount(1), counter.takeCount(3)]).to.deep.equal([undefined, undefined]);
    }
  });

  it("keeps a bounded number of counts that are never claimed", () => {
    const streams = Array.from({ length: MAX_CONCURRENT_STREAMS + 1 }, (_, index) => 2 * index + 1);
    const counter = counterOf(...streams.map((stream) => frame(FRAME.headers, FLAG.endHeaders, stream, two)));
    expect([counter.takeCount(1), counter.takeCount(3)]).to.deep.equal([undefined, 2]);
  });
});
