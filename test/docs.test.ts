import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

async function pages(): Promise<string[]> {
  const inFolders = ["docs", "examples"].map(async (folder) => {
    const names = await readdir(join(ROOT, folder), { recursive: true });
    return names.map((name) => join(folder, name));
  });
  const names = [await readdir(ROOT), ...(await Promise.all(inFolders))].flat();
  return names.filter((name) => name.endsWith(".md"));
}

describe("the documents", () => {
  it("link only to existing files", async () => {
    const broken: string[] = [];
    let links = 0;
    for (const page of await pages()) {
      const text = await readFile(join(ROOT, page), "utf8");
      for (const [, target = ""] of text.matchAll(/\]\((?!https?:|#)([^)#]+)/g)) {
        links++;
        if (!existsSync(join(ROOT, dirname(page), target))) broken.push(`${page}: ${target}`);
      }
    }
    expect(links).to.be.above(30);
    expect(broken).to.deep.equal([]);
  });

  it("quote only existing tests in the guarantees", async () => {
    const guarantees = await readFile(join(ROOT, "docs/guarantees.md"), "utf8");
    const named = [...guarantees.matchAll(/^- `(test\/[^`]+)`: (.*)$/gm)];
    expect(named.length).to.be.above(40);
    const missing: string[] = [];
    for (const [, file = "", sentence = ""] of named) {
      const source = await readFile(join(ROOT, file), "utf8");
      // `...` stands for the generated parts of a title.
      const pieces = sentence.split("...").map((piece) => piece.trim());
      if (!pieces.every((piece) => source.includes(piece))) missing.push(`${file}: ${sentence}`);
    }
    expect(missing).to.deep.equal([]);
  });
});
