import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect } from "chai";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** The shell commands that make would run. */
function commandsOf(...args: string[]): string {
  return execFileSync("make", ["--dry-run", "--assume-old=dist/main.js", ...args], {
    cwd: ROOT,
    encoding: "utf8",
  });
}

describe("the Makefile", () => {
  for (const args of [
    ["test"],
    ["test", "ONLY=duration"],
    ["test", "ONLY=duration store", "ARGS=-g prune"],
    ["test-all"],
    ["test-all", "ONLY=store"],
  ]) {
    it(`has valid shell commands for make ${args.join(" ")}`, () => {
      const commands = commandsOf(...args);
      execFileSync("bash", ["-n"], { input: commands, stdio: ["pipe", "ignore", "inherit"] });
      expect(commands).to.include("scripts/install-test-tools.sh");
      expect(commands.includes("scripts/select-tests.sh")).to.equal(args.length > 1);
    });
  }

  it("runs selected tests without MariaDB, but refuses to run all of them", () => {
    expect(commandsOf("test", "ONLY=duration")).to.match(/install-test-tools\.sh .* \|\| /);
    expect(commandsOf("test")).to.not.include("||");
  });
});
