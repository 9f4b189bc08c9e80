import { execFileSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { readMutant } from "./mutant.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const FOLDER = fileURLToPath(new URL("mutants/", import.meta.url));

/** The problem of a patch; undefined if there is none. */
function problem(patch: string): string | undefined {
  try {
    readMutant(patch);
    execFileSync("git", ["apply", "--check", patch], { cwd: ROOT, stdio: "pipe" });
    return undefined;
  } catch (error) {
    return `${patch}: ${error}`;
  }
}

describe("the mutants", () => {
  it("apply to the current code", () => {
    const patches = readdirSync(FOLDER).map((name) => `${FOLDER}${name}`);
    expect(patches.length).to.be.above(30);
    expect(patches.map(problem).filter((found) => found !== undefined)).to.deep.equal([]);
  });
});
