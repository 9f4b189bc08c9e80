import { execFileSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { ambiguousHunks, CompiledMutants, filesOf } from "./compiled-mutants.ts";
import { readMutant } from "./mutant.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const FOLDER = fileURLToPath(new URL("mutants/", import.meta.url));

/** The problem of a patch; undefined if there is none. */
function problem(patch: string): string | undefined {
  try {
    const mutant = readMutant(patch);
    // All lines of context must be there, though perhaps at other line numbers: Git accepts fewer only with -C.
    execFileSync("git", ["apply", "--check", patch], { cwd: ROOT, stdio: "pipe" });
    const [ambiguous] = ambiguousHunks(mutant);
    return ambiguous && `${patch}: these lines of ${ambiguous.file} are not unique:\n${ambiguous.before}`;
  } catch (error) {
    return `${patch}: ${error}`;
  }
}

describe("the mutants", () => {
  const patches = readdirSync(FOLDER).map((name) => `${FOLDER}${name}`);

  it("apply to the current code, each hunk at one place only", () => {
    expect(patches.length).to.be.above(30);
    expect(patches.map(problem).filter((found) => found !== undefined)).to.deep.equal([]);
  });

  it("compile, and change the compiled code of every file that they touch", () => {
    const mutants = patches.map(readMutant);
    const compiled = new CompiledMutants(mutants);
    try {
      const unchanged = mutants.flatMap((mutant) =>
        filesOf(mutant)
          .filter((file) => !compiled.changes(mutant, file))
          .map((file) => `${mutant.name}: ${file}`),
      );
      expect({ errors: compiled.errors, unchanged }).to.deep.equal({ errors: "", unchanged: [] });
    } finally {
      compiled.remove();
    }
  });
});
