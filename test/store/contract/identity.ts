import { expect } from "chai";
import { rejection } from "../../support/rejection.ts";
import { entry, jti, type OpenStores, query, terms } from "../open-test-store.ts";

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

    it("keeps every jti apart that differs in a byte, and hands it back unaltered", async () => {
      const { store } = await open();
      const { results } = await store.write(
        LOOKALIKES.map((name) => entry(name)),
        terms(),
      );
      expect(results.map(({ outcome }) => outcome)).to.deep.equal(LOOKALIKES.map(() => "created"));
      for (const name of LOOKALIKES) {
        const { expiries } = await store.read([jti(name)]);
        expect([...expiries.keys()]).to.deep.equal([name]);
      }
      const { entries } = await store.list(query({ limit: 100 }));
      expect(entries.map((listed) => listed.jti)).to.have.members(LOOKALIKES);
    });

    it("finds nothing for a jti that merely resembles one it has", async () => {
      const { store } = await open();
      await store.write([entry("abc")], terms());
      const { expiries } = await store.read(LOOKALIKES.filter((name) => name !== "abc").map(jti));
      expect([...expiries.keys()]).to.deep.equal([]);
    });

    it("stores 255 bytes whole, and refuses 256 with all that came with them", async () => {
      const { store } = await open();
      const longest = `${"é".repeat(127)}x`;
      await store.write([entry(longest)], terms());
      expect([...(await store.read([jti(longest)])).expiries.keys()]).to.deep.equal([longest]);
      expect(
        await rejection(store.write([entry("with it"), entry(`${longest}x`)], terms())),
      ).to.be.instanceOf(Error);
      expect([...(await store.read([jti("with it")])).expiries.keys()]).to.deep.equal([]);
    });

    it("keeps reason and caller as they came, whatever is in them", async () => {
      const { store } = await open();
      const texts = LOOKALIKES.concat("", "é".repeat(256));
      await store.write(
        texts.map((reason, index) => entry(`t${index}`, { reason, revokedBy: reason.slice(0, 100) })),
        terms(),
      );
      const { entries } = await store.list(query({ limit: 100 }));
      const listed = new Map(entries.map((one) => [one.jti as string, [one.reason, one.revokedBy]]));
      expect(texts.map((_, index) => listed.get(`t${index}`))).to.deep.equal(
        texts.map((text) => [text, text.slice(0, 100)]),
      );
    });
  });
}
