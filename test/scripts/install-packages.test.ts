import { readdirSync, readFileSync } from "node:fs";
import { expect } from "chai";
import { describe, it } from "mocha";
import { Checkout } from "./checkout.ts";

const FILES = [
  "package.json",
  "package-lock.json",
  ".npmrc",
  "scripts/install-packages.sh",
  "scripts/swap.mjs",
];

describe("scripts/install-packages.sh", function () {
  this.timeout(90_000);

  it("keeps the installed packages if new ones cannot be fetched", async () => {
    const checkout = await Checkout.with(FILES, { packages: false });
    await checkout.write("node_modules/package/index.js", "before");
    // A port on which nothing listens, and no cache.
    const { code, output } = await checkout.run("scripts/install-packages.sh", [], {
      npm_config_registry: "http://127.0.0.1:1",
      npm_config_cache: checkout.path("cache"),
      npm_config_fetch_retries: "0",
    });
    expect(code).to.equal(1);
    expect(output).to.include("node_modules was not changed");
    expect(readFileSync(checkout.path("node_modules/package/index.js"), "utf8")).to.equal("before");
    expect(readdirSync(checkout.folder).filter((name) => name.startsWith("node_modules"))).to.deep.equal([
      "node_modules",
    ]);
  });
});
