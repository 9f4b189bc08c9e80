import { Readable } from "node:stream";
import { expect } from "chai";
import { describe, it } from "mocha";
import { scanLines } from "../../src/cli/lines.ts";

async function linesOf(...chunks: string[]): Promise<unknown[]> {
  const lines = [];
  for await (const found of scanLines(Readable.from(chunks.map((chunk) => Buffer.from(chunk))))) {
    for (const line of found) lines.push("text" in line ? { ...line, text: line.text.length } : line);
  }
  return lines;
}

describe("the lines of an input", () => {
  const longest = "x".repeat(64 * 1024);

  it("are yielded once if they have the maximum length, wherever the input is split", async () => {
    const expected = [{ number: 1, text: longest.length }];
    for (const chunks of [[`${longest}\r\n`], [longest, "\r\n"], [`${longest}\r`, "\n"], [`${longest}\r`]]) {
      expect(await linesOf(...chunks)).to.deep.equal(expected);
    }
  });

  it("are too long beyond that, also if a carriage return is where the maximum ends", async () => {
    const expected = [{ number: 1, problem: "is longer than any token" }];
    for (const chunks of [
      [`${longest}y\n`],
      [`${longest}y`, "y\n"],
      [`${longest}\r`, "y\n"],
      [`${longest}yy`],
    ]) {
      expect(await linesOf(...chunks)).to.deep.equal(expected);
    }
  });
});
