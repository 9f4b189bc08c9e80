import { expect } from "chai";
import { rejection } from "../../support/rejection.ts";
import { entry, expiryContext, jti, type OpenStores, query } from "../open-test-store.ts";

export function describeIdentity({ open }: OpenStores): void {
  describe("identity", () => {
    const LOOKALIKES = [
      "abc",
      "ABC",
      "Abc",
      "abc ",
      " abc",
      "abc\t",
      "abc\n",
      "ａbc",
      "ß",
      "ss",
      "é",
      "e\u0301",
      "İ",
      "i",
      "ı",
      "0",
      "00",
      "0.0",
      "-0",
      "1e3",
      "null",
      "NULL",
      "'",
      "''",
      "\\",
      "\\'",
      '"',
      "%",
      "_",
      "x'61'",
      "';--",
      "𝒳",
      "\u{10FFFF}",
      "\uFEFFabc",
      "\u0001",
    ];

    it("distinguishes jtis that differ in one byte, and returns each unchanged", async () => {
      const { store } = await open();
      const { results } = await store.write(
        LOOKALIKES.map((name) => entry(name)),
        expiryContext(),
      );
      expect(results.map(({ outcome }) => outcome)).to.deep.equal(LOOKALIKES.map(() => "created"));
      for (const name of LOOKALIKES) {
        const { found } = await store.read([jti(name)]);
        expect([...found.keys()]).to.deep.equal([name]);
      }
      const { entries } = await store.list(query({ limit: 100 }));
      expect(entries.map((listed) => listed.key)).to.have.members(LOOKALIKES);
    });

    it("finds nothing for a jti that is only similar to a stored one", async () => {
      const { store } = await open();
      await store.write([entry("abc")], expiryContext());
      const { found } = await store.read(LOOKALIKES.filter((name) => name !== "abc").map(jti));
      expect([...found.keys()]).to.deep.equal([]);
    });

    it("stores 255 bytes whole, and refuses 256 together with the rest of the request", async () => {
      const { store } = await open();
      const longest = `${"é".repeat(127)}x`;
      await store.write([entry(longest)], expiryContext());
      expect([...(await store.read([jti(longest)])).found.keys()]).to.deep.equal([longest]);
      expect(
        await rejection(store.write([entry("with it"), entry(`${longest}x`)], expiryContext())),
      ).to.be.instanceOf(Error);
      expect([...(await store.read([jti("with it")])).found.keys()]).to.deep.equal([]);
    });

    it("keeps reason and caller unchanged, with any characters", async () => {
      const { store } = await open();
      const texts = LOOKALIKES.concat("", "é".repeat(256));
      await store.write(
        texts.map((reason, index) => entry(`t${index}`, { reason, revokedBy: reason.slice(0, 100) })),
        expiryContext(),
      );
      const { entries } = await store.list(query({ limit: 100 }));
      const listed = new Map(entries.map((one) => [one.key as string, [one.reason, one.revokedBy]]));
      expect(texts.map((_, index) => listed.get(`t${index}`))).to.deep.equal(
        texts.map((text) => [text, text.slice(0, 100)]),
      );
    });
  });
}
