import { existsSync, readdirSync, readFileSync } from "node:fs";
import { expect } from "chai";
import { beforeEach, describe, it } from "mocha";
import { Checkout } from "./checkout.ts";

const SOURCES = [
  "package.json",
  "tsconfig.json",
  "tsconfig.build.json",
  "scripts/build.sh",
  "scripts/swap.mjs",
];

describe("scripts/build.sh", function () {
  this.timeout(90_000);
  let checkout: Checkout;

  async function checkoutWithBuild({ packages }: { packages: boolean }) {
    checkout = await Checkout.with(SOURCES, { packages });
    await checkout.write("dist/main.js", "// the build before\n");
    await checkout.write("dist/gone.js", "");
    // Other tests cover the compilation of the product.
    await checkout.write("src/main.ts", "#!/usr/bin/env node\nconsole.log('built');\n");
  }
  const builtBefore = () => readFileSync(checkout.path("dist/main.js"), "utf8") === "// the build before\n";
  /** The files that a build leaves beside `dist`. */
  const leftovers = () => readdirSync(checkout.folder).filter((name) => name.startsWith("dist."));

  it("keeps the previous build and explains what to do if the compiler is not installed", async () => {
    await checkoutWithBuild({ packages: false });
    const { code, output } = await checkout.run("scripts/build.sh");
    expect(code).to.equal(1);
    expect(output).to.include("no TypeScript compiler").and.include("npm ci --ignore-scripts");
    expect([builtBefore(), existsSync(checkout.path("dist/gone.js"))]).to.deep.equal([true, true]);
    expect(leftovers()).to.deep.equal([]);
  });

  describe("with a compiler", () => {
    beforeEach(() => checkoutWithBuild({ packages: true }));

    it("keeps the previous build if the sources do not compile", async () => {
      await checkout.write("src/broken.ts", "export const broken: number = 'text';\n");
      const { code, output } = await checkout.run("scripts/build.sh");
      expect(code).to.not.equal(0);
      expect(output).to.include("src/broken.ts");
      expect([builtBefore(), leftovers()]).to.deep.equal([true, []]);
    });

    it("replaces the previous build as a whole, even if two run at once", async () => {
      const runs = await Promise.all([checkout.run("scripts/build.sh"), checkout.run("scripts/build.sh")]);
      expect(runs).to.deep.equal([
        { code: 0, output: "" },
        { code: 0, output: "" },
      ]);
      expect([existsSync(checkout.path("dist/gone.js")), leftovers()]).to.deep.equal([false, []]);
      expect(await checkout.run(checkout.path("dist/main.js"))).to.deep.equal({ code: 0, output: "built\n" });
    });

    it("creates source maps that contain the sources", async () => {
      await checkout.run("scripts/build.sh");
      const map = JSON.parse(readFileSync(checkout.path("dist/main.js.map"), "utf8"));
      expect(map.sourcesContent).to.deep.equal([readFileSync(checkout.path("src/main.ts"), "utf8")]);
    });
  });
});
