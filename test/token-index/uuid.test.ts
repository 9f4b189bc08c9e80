import { expect } from "chai";
import fc from "fast-check";
import { packUuid } from "../../src/token-index/uuid.ts";

const CANONICAL = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const SOME = "01234567-89ab-cdef-fedc-ba9876543210";

/** The 16 bytes that the text is packed into; undefined where it is refused. */
function packed(text: string): string | undefined {
  const view = new DataView(Uint8Array.from(Buffer.from(text, "latin1")).buffer);
  return packUuid(view) ? Buffer.from(view.buffer, 0, 16).toString("hex") : undefined;
}

describe("a UUID's text", () => {
  it("is packed if it is canonical, and no other byte is taken for any of its characters", () => {
    const wrong: string[] = [];
    for (let at = 0; at < SOME.length; at++) {
      for (let code = 0; code < 256; code++) {
        const text = SOME.slice(0, at) + String.fromCharCode(code) + SOME.slice(at + 1);
        if ((packed(text) !== undefined) !== CANONICAL.test(text)) wrong.push(text);
      }
    }
    expect(wrong).to.deep.equal([]);
  });

  it("is packed into bytes of its own, whichever digit differs", () => {
    const texts = new Set([...SOME].flatMap((old, at) => variants(old, at)));
    expect(new Set([...texts].map(packed)).size)
      .to.equal(texts.size)
      .and.to.equal(1 + 32 * 15);
  });

  it("is packed into bytes of its own, whatever differs", () => {
    fc.assert(
      fc.property(fc.uuid(), fc.uuid(), (one, other) => (packed(one) === packed(other)) === (one === other)),
    );
  });

  it("that is refused is left as it was", () => {
    const refused = SOME.toUpperCase();
    const view = new DataView(Uint8Array.from(Buffer.from(refused)).buffer);
    expect([packUuid(view), Buffer.from(view.buffer).toString()]).to.deep.equal([false, refused]);
  });
});

function variants(old: string, at: number): string[] {
  if (old === "-") return [];
  return [..."0123456789abcdef"].map((digit) => SOME.slice(0, at) + digit + SOME.slice(at + 1));
}
