import { expect } from "chai";
import { Chaskey } from "../../src/token-index/chaskey.ts";

/**
 * From the authors' chaskey12.c (https://mouha.be/chaskey/, CC0): the key, and the hashes of the bytes 0, 1, 2, ... of
 * so many bytes.
 */
const KEY = [0x833d3433, 0x009f389f, 0x2398e64f, 0x417acf39];
const HASHES = {
  0: "43cb1f41 51eba0c2 ff0a8ac3 7ee3f642",
  1: "f9ac2067 9c35a846 441aad3d 777b7330",
  15: "03cfb44b 283c8163 fca71448 c40a0aea",
  16: "5dd0e2a9 fb5eac8c 633a392e 500c36f3",
  17: "8b5f6d5a 202314f6 22092368 9639e606",
  31: "1d3d30b1 01d74fca 3b2eb54c d8cd36b4",
  32: "77962784 07c647fa dd752c0f d2f5a799",
  33: "d74bb867 2c0dfb3a b697e9cd 5658edda",
  48: "f36e748b 8f34677f 1e00ba1b dd7da46d",
  63: "2dd072e1 42b89efe fb26b615 049aa451",
};

function littleEndian(words: readonly number[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(words.length * 4));
  for (const [index, word] of words.entries()) view.setUint32(index * 4, word, true);
  return new Uint8Array(view.buffer);
}

function hex(words: Int32Array): string {
  return Array.from(words, (word) => (word >>> 0).toString(16).padStart(8, "0")).join(" ");
}

describe("Chaskey-12", () => {
  it("returns the hashes that its authors published, of messages with and without padding", () => {
    const chaskey = new Chaskey(littleEndian(KEY));
    const found = Object.keys(HASHES).map((length) => {
      const message = new DataView(Uint8Array.from({ length: 80 }, (_, at) => at).buffer);
      const hash = new Int32Array(4);
      chaskey.hash(message, Number(length), hash);
      return [length, hex(hash)];
    });
    expect(Object.fromEntries(found)).to.deep.equal(HASHES);
  });

  it("carries over the key's highest bit, which is clear in the published key", () => {
    const hashOf = (highest: number, length: number) => {
      const hash = new Int32Array(4);
      new Chaskey(littleEndian([1, 2, 3, highest])).hash(new DataView(new ArrayBuffer(16)), length, hash);
      return hex(hash);
    };
    const hashes = [0x7fffffff, 0xffffffff].map((highest) => [hashOf(highest, 16), hashOf(highest, 3)]);
    // From a second implementation, with 128-bit integers.
    expect(hashes).to.deep.equal([
      ["8ad52616 5d21ecbf 7d049738 97db206c", "0f760701 39a251f8 214820a4 1d31041f"],
      ["2d7e9c91 5c170116 703f799d 5a59e278", "b03ad8ed fb69ace2 936ccb35 b6253fa6"],
    ]);
  });
});
