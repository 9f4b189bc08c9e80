import { readdirSync, readFileSync, symlinkSync } from "node:fs";
import { expect } from "chai";
import { beforeEach, describe, it } from "mocha";
import { Checkout } from "./checkout.ts";

describe("scripts/swap.mjs", () => {
  let checkout: Checkout;
  beforeEach(async () => {
    checkout = await Checkout.with(["scripts/swap.mjs"], { packages: false });
  });

  const swap = (fresh: string) => checkout.run(process.execPath, ["scripts/swap.mjs", fresh, "target"]);
  const content = () => readFileSync(checkout.path("target/file"), "utf8");
  const names = () => readdirSync(checkout.folder).sort();

  it("installs one of several folders as a whole, even concurrently", async () => {
    const fresh = ["a", "b", "c", "d", "e", "f"];
    for (const name of fresh) await checkout.write(`${name}/file`, name);
    const runs = await Promise.all(fresh.map(swap));
    expect(runs.map(({ code, output }) => code + output)).to.deep.equal(fresh.map(() => "0"));
    expect(fresh).to.include(content());
    expect(names()).to.deep.equal(["scripts", "target"]);
  });

  it("replaces a link, and leaves its target unchanged", async () => {
    await checkout.write("elsewhere/file", "old");
    symlinkSync("elsewhere", checkout.path("target"));
    await checkout.write("fresh/file", "new");
    await swap("fresh");
    expect([content(), readFileSync(checkout.path("elsewhere/file"), "utf8")]).to.deep.equal(["new", "old"]);
  });

  it("leaves the folder unchanged if there is nothing to replace it", async () => {
    await checkout.write("target/file", "old");
    expect((await swap("missing")).code).to.not.equal(0);
    expect(content()).to.equal("old");
  });
});
