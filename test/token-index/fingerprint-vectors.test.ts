import { hkdfSync } from "node:crypto";
import { readFile } from "node:fs/promises";
import { expect } from "chai";
import { Fingerprinter, HASH_NAME } from "../../src/token-index/fingerprint.ts";

/** The test vectors of docs/watch.md, for authors of copies in other languages. */
interface Document {
  readonly text: string;
  readonly key: Buffer;
  /** Fingerprints in hexadecimal digits, by their jtis. */
  readonly vectors: Readonly<Record<string, string>>;
}

async function readDocument(): Promise<Document> {
  const text = await readFile(new URL("../../docs/watch.md", import.meta.url), "utf8");
  const [, key = ""] = /With the `key` `([0-9a-f]{64})`/.exec(text) ?? [];
  const rows = [...text.matchAll(/^\| `([^`]+)` \| `([0-9a-f]{32})` \|$/gm)];
  return {
    text,
    key: Buffer.from(key, "hex"),
    vectors: Object.fromEntries(rows.map(([, jti, print]) => [jti, print])),
  };
}

const MASK = (1n << 128n) - 1n;

function numberOf(bytes: Uint8Array): bigint {
  return bytes.reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
}

function bytesOf(number: bigint): Buffer {
  return Buffer.from(Array.from({ length: 16 }, (_, at) => Number((number >> BigInt(8 * at)) & 255n)));
}

/** The algorithm of docs/watch.md, step by step and without the source: slow, meant to be read beside the document. */
function asTheDocumentSays(key: Uint8Array, jti: string): string {
  const isUuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(jti);
  const info = isUuid ? "token-index uuid" : "token-index other";
  const own = numberOf(new Uint8Array(hkdfSync("sha256", key, "", info, 16)));
  const message = isUuid ? Buffer.from(jti.replaceAll("-", ""), "hex") : Buffer.from(jti);
  const timesX = (number: bigint) => ((number << 1n) & MASK) ^ (number >> 127n === 1n ? 0x87n : 0n);
  const isFull = message.length % 16 === 0;
  const padding = isFull ? [] : [1, ...Array<number>(15 - (message.length % 16)).fill(0)];
  const padded = Buffer.concat([message, Buffer.from(padding)]);
  const closing = isFull ? timesX(own) : timesX(timesX(own));
  let state = own;
  for (let at = 0; at < padded.length; at += 16) {
    state ^= numberOf(padded.subarray(at, at + 16));
    if (at + 16 === padded.length) state ^= closing;
    state = permuted(state);
  }
  return bytesOf(state ^ closing).toString("hex");
}

function permuted(state: bigint): bigint {
  const rotate = (word: number, by: number) => ((word << by) | (word >>> (32 - by))) >>> 0;
  let [v0, v1, v2, v3] = [0n, 32n, 64n, 96n].map((at) => Number((state >> at) & 0xffffffffn)) as [
    number,
    number,
    number,
    number,
  ];
  for (let round = 0; round < 12; round++) {
    v0 = (v0 + v1) >>> 0;
    v1 = (rotate(v1, 5) ^ v0) >>> 0;
    v0 = rotate(v0, 16);
    v2 = (v2 + v3) >>> 0;
    v3 = (rotate(v3, 8) ^ v2) >>> 0;
    v0 = (v0 + v3) >>> 0;
    v3 = (rotate(v3, 13) ^ v0) >>> 0;
    v2 = (v2 + v1) >>> 0;
    v1 = (rotate(v1, 7) ^ v2) >>> 0;
    v2 = rotate(v2, 16);
  }
  return [v0, v1, v2, v3].reduceRight((sum, word) => (sum << 32n) | BigInt(word), 0n);
}

function fingerprint(key: Uint8Array, jti: string): string {
  const words = new Fingerprinter(key).hash(jti);
  const bytes = new DataView(new ArrayBuffer(16));
  for (const [index, word] of words.entries()) bytes.setInt32(index * 4, word, true);
  return Buffer.from(bytes.buffer).toString("hex");
}

/** The same rows, computed: the expected value is the text of the document. */
const computed = ({ key, vectors }: Document, by: typeof fingerprint) =>
  Object.fromEntries(Object.keys(vectors).map((jti) => [jti, by(key, jti)]));

describe("the hash that is announced to copies", () => {
  let document: Document;

  before(async () => {
    document = await readDocument();
  });

  it("has the name that docs/watch.md defines", () => {
    expect(document.text).to.include(`\`${HASH_NAME}\``);
    expect([document.key.length, Object.keys(document.vectors).length]).to.deep.equal([32, 9]);
  });

  it("returns the fingerprints in docs/watch.md", () => {
    expect(document.vectors).to.deep.equal(computed(document, fingerprint));
  });

  it("equals an implementation from docs/watch.md alone", () => {
    expect(document.vectors).to.deep.equal(computed(document, asTheDocumentSays));
    for (let length = 1; length <= 255; length += length < 50 ? 1 : 41) {
      const jti = "x".repeat(length);
      expect(asTheDocumentSays(document.key, jti)).to.equal(fingerprint(document.key, jti));
    }
  });

  it("derives its keys as docs/watch.md shows", () => {
    const keys = ["token-index uuid", "token-index other"].map((info) =>
      Buffer.from(hkdfSync("sha256", document.key, "", info, 16)).toString("hex"),
    );
    expect(
      /`([0-9a-f]{32})` for UUIDs and `([0-9a-f]{32})` for all others/.exec(document.text)?.slice(1),
    ).to.deep.equal(keys);
  });
});
