import { execFile } from "node:child_process";
import { cp, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect } from "chai";
import { freshFolder } from "./support/shared.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

interface Package {
  readonly dev?: boolean;
  readonly hasInstallScript?: boolean;
  readonly deprecated?: string;
  readonly resolved?: string;
}

describe("an installation", function () {
  this.timeout(60_000);
  let packages: [name: string, Package][];

  before(async () => {
    const lock = JSON.parse(await readFile(join(ROOT, "package-lock.json"), "utf8"));
    packages = Object.entries<Package>(lock.packages).map(([path, one]) => [
      path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length),
      one,
    ]);
  });

  it("has no package that does not support this version of Node.js", async () => {
    const cwd = await freshFolder();
    for (const name of ["package.json", "package-lock.json", ".npmrc"])
      await cp(join(ROOT, name), join(cwd, name));
    const args = ["ci", "--dry-run", "--offline", "--ignore-scripts", "--no-update-notifier"];
    const { stderr } = await promisify(execFile)("npm", args, { cwd });
    expect(stderr).to.equal("");
  });

  it("has no deprecated package", () => {
    expect(packages.filter(([, { deprecated }]) => deprecated !== undefined)).to.deep.equal([]);
  });

  it("runs no install script, and npm is configured not to", async () => {
    const { allowScripts } = JSON.parse(await readFile(join(ROOT, "package.json"), "utf8"));
    const scripted = packages.filter(([, { hasInstallScript }]) => hasInstallScript).map(([name]) => name);
    expect(allowScripts).to.deep.equal(Object.fromEntries(scripted.map((name) => [name, false])));
  });

  it("has one production package with an install script, that of grpc-js, which does nothing", () => {
    const scripted = packages.filter(([, { dev, hasInstallScript }]) => hasInstallScript && !dev);
    expect(scripted.map(([name]) => name)).to.deep.equal(["protobufjs"]);
  });

  it("refers to no specific registry", () => {
    expect(packages.filter(([, { resolved }]) => resolved !== undefined)).to.deep.equal([]);
  });
});
