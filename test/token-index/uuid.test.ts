import { expect } from "chai";
import fc from "fast-check";
import { packUuid } from "../../src/token-index/uuid.ts";

const CANONICAL = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const SOME = "01234567-89ab-cdef-fedc-ba9876543210";

/** The 16 bytes that the text is packed into; undefined if it is refused. */
function packed(text: string): string | undefined {
  const bytes = new DataView(new ArrayBuffer(16));
  return packUuid(text, bytes) ? Buffer.from(bytes.buffer).toString("hex") : undefined;
}

describe("a UUID's text", () => {
  it("is packed if it is canonical, and is refused with any other character at any position", () => {
    const wrong: string[] = [];
    for (let at = 0; at < SOME.length; at++) {
      for (let code = 0; code < 2 ** 16; code += code < 512 ? 1 : 61) {
        const text = SOME.slice(0, at) + String.fromCharCode(code) + SOME.slice(at + 1);
        if ((packed(text) !== undefined) !== CANONICAL.test(text)) wrong.push(text);
      }
    }
    expect(wrong).to.deep.equal([]);
  });

  it("is packed into the bytes that it denotes", () => {
    expect(packed(SOME)).to.equal(SOME.replaceAll("-", ""));
  });

  it("is packed into different bytes for any change of a digit", () => {
    const texts = new Set([...SOME].flatMap((old, at) => variants(old, at)));
    expect(new Set([...texts].map(packed)).size)
      .to.equal(texts.size)
      .and.to.equal(1 + 32 * 15);
  });

  it("is packed into different bytes for any difference", () => {
    fc.assert(
      fc.property(fc.uuid(), fc.uuid(), (one, other) => (packed(one) === packed(other)) === (one === other)),
    );
  });

  it("leaves the bytes unchanged when it is refused", () => {
    const bytes = new DataView(Uint8Array.from({ length: 16 }, (_, at) => at).buffer);
    expect([packUuid(SOME.toUpperCase(), bytes), Buffer.from(bytes.buffer).toString("hex")]).to.deep.equal([
      false,
      "000102030405060708090a0b0c0d0e0f",
    ]);
  });
});

function variants(old: string, at: number): string[] {
  if (old === "-") return [];
  return [..."0123456789abcdef"].map((digit) => SOME.slice(0, at) + digit + SOME.slice(at + 1));
}
