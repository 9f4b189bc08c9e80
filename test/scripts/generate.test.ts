import { readdirSync, readFileSync } from "node:fs";
import { expect } from "chai";
import { describe, it } from "mocha";
import { Checkout } from "./checkout.ts";

describe("scripts/generate.sh", () => {
  it("keeps the generated code if the generator is not installed", async () => {
    const checkout = await Checkout.with(
      ["scripts/generate.sh", "scripts/swap.mjs", "proto", "buf.gen.yaml"],
      {
        packages: false,
      },
    );
    await checkout.write("gen/file", "before");
    const { code } = await checkout.run("scripts/generate.sh");
    expect(code).to.not.equal(0);
    expect(readFileSync(checkout.path("gen/file"), "utf8")).to.equal("before");
    expect(readdirSync(checkout.folder).filter((name) => name.startsWith("gen"))).to.deep.equal(["gen"]);
  });
});
