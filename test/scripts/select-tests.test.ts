import { expect } from "chai";
import { before, describe, it } from "mocha";
import { Checkout } from "./checkout.ts";

const TESTS = [
  "test/store/reads.test.ts",
  "test/store/galera.long.test.ts",
  "test/store/contract/writes.test.ts",
  "test/store/contract.ts",
  "test/cli/list.test.ts",
  "test/cli/list.long.test.ts",
  "test/revision.test.ts",
  "test/upgrade/upgrade.long.test.ts",
];

describe("make's ONLY", () => {
  let checkout: Checkout;
  before(async () => {
    checkout = await Checkout.with(["scripts/select-tests.sh"], { packages: false });
    for (const path of TESTS) await checkout.write(path, "");
  });

  const select = async (group: "short" | "all", ...names: string[]) => {
    const { code, output } = await checkout.run("scripts/select-tests.sh", [group, ...names]);
    return code === 0 ? output.trim().split("\n") : output.trim();
  };

  it("selects the tests of a folder, with or without the long ones", async () => {
    const short = ["test/store/contract/writes.test.ts", "test/store/reads.test.ts"];
    for (const name of ["store", "test/store", "test/store/", "src/store"]) {
      expect(await select("short", name), name).to.have.members(short);
    }
    expect(await select("all", "store")).to.have.members([...short, "test/store/galera.long.test.ts"]);
    for (const name of ["store/contract", "contract", "src/store/contract.ts"]) {
      expect(await select("short", name), name).to.deep.equal(["test/store/contract/writes.test.ts"]);
    }
  });

  it("selects the tests of one or more files, by path or by name", async () => {
    for (const name of ["src/cli/list.ts", "cli/list", "list", "test/cli/list.test.ts"]) {
      expect(await select("short", name), name).to.deep.equal(["test/cli/list.test.ts"]);
      expect(await select("all", name), name).to.have.length(2);
    }
    expect(await select("short", "revision", "list")).to.deep.equal([
      "test/cli/list.test.ts",
      "test/revision.test.ts",
    ]);
  });

  it("selects nothing, rather than everything, for an unknown name or one with only long tests", async () => {
    expect(await select("short", "store", "misspelt")).to.match(/no file of tests .* named "misspelt"/);
    expect(await select("short", "upgrade")).to.include('make test-all ONLY="upgrade"');
    expect(await select("all", "upgrade")).to.deep.equal(["test/upgrade/upgrade.long.test.ts"]);
  });
});
