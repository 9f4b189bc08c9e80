import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { describe, it } from "mocha";
import { EXAMPLES, oldestOf } from "./installed.ts";

const { dependencies } = JSON.parse(readFileSync(join(EXAMPLES, "package.json"), "utf8")) as {
  dependencies: Readonly<Record<string, string>>;
};
const names = readdirSync(EXAMPLES, { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && entry.name !== "node_modules")
  .map(({ name }) => name);

/** The packages loaded by the scripts of a folder. */
function importsOf(folder: string): string[] {
  const scripts = readdirSync(folder).filter((name) => name.endsWith(".ts"));
  const found = scripts.flatMap((name) => [
    ...readFileSync(join(folder, name), "utf8").matchAll(
      /^import (?!type\b)(?:[^"]* from )?"((?:@[^/"]+\/)?[^./"][^/":]*)"/gm,
    ),
  ]);
  return [...new Set(found.map(([, name = ""]) => name))];
}

describe("the versions required by the examples", () => {
  it("are stated for every dependency", () => {
    const loaded = ["", ...names].flatMap((name) => importsOf(join(EXAMPLES, name)));
    expect(loaded.filter((name) => dependencies[name] === undefined)).to.deep.equal([]);
    for (const [name, range] of Object.entries(dependencies)) expect(oldestOf(range), name).to.be.a("string");
  });

  for (const name of names) {
    it(`are documented on the page of ${name}`, () => {
      const page = readFileSync(join(EXAMPLES, name, "README.md"), "utf8");
      // The packages of the shared scripts are stated once, on the client's page.
      const needed = [...importsOf(join(EXAMPLES, name)), "jose"];
      const stated = needed.map((needs) => `\`${needs}\` ${dependencies[needs]}`);
      expect(stated.filter((text) => !page.includes(text))).to.deep.equal([]);
    });
  }
});
