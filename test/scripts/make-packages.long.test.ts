import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { expect } from "chai";
import { after, before, describe, it } from "mocha";
import { makePackages, npmInstall, packages } from "../support/packed.ts";
import { type ServiceProcess, serveProcess } from "../support/service-process.ts";
import { freshFolder } from "../support/shared.ts";
import { ROOT } from "./checkout.ts";

const CLIENT = "token-blacklist-client";
/** Publint, and besides this repository's compiler the last one that supports `moduleResolution: node10`. */
const TOOLS = { typescript: "~5.9.2", publint: "^0.3.0" };
const run = promisify(execFile);

/** The files below `folder`, as paths from it. */
function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort();
}

/** The maps below `folder` that refer to a missing source, and the files that refer to a missing map. */
function danglingMaps(folder: string): string[] {
  return filesIn(folder).filter((file) => {
    const path = join(folder, file);
    if (file.endsWith(".map")) {
      const { sources, sourcesContent = [] } = JSON.parse(readFileSync(path, "utf8"));
      return (sources as string[]).some(
        (source, i) => typeof sourcesContent[i] !== "string" && !existsSync(join(dirname(path), source)),
      );
    }
    const [, map] = /^\/\/# sourceMappingURL=(.*)$/m.exec(readFileSync(path, "utf8")) ?? [];
    return map !== undefined && !existsSync(join(dirname(path), map));
  });
}

describe("the packages", function () {
  // For packing, and the registry.
  this.timeout(300_000);
  let service: string;
  let client: string;

  before(async () => {
    const packed = await packages();
    service = await freshFolder();
    client = await freshFolder();
    await Promise.all([
      npmInstall(service, { "token-blacklist": packed.service }),
      npmInstall(client, { [CLIENT]: packed.client }),
    ]);
  });

  it("are reproducible under any umask", async () => {
    const folder = await freshFolder();
    const before = process.umask(0o077);
    const again = await makePackages(folder).finally(() => process.umask(before));
    const hashes = ({ service, client }: typeof again) =>
      [service, client].map((path) => createHash("sha256").update(readFileSync(path)).digest("hex"));
    expect(hashes(again)).to.deep.equal(hashes(await packages()));
  });

  describe("of the service", () => {
    const inside = () => join(service, "node_modules/token-blacklist");

    it("contain what is needed at run time, and the contract", () => {
      const files = filesIn(inside());
      const expected =
        /^(dist|gen)\/.*\.(js|js\.map|d\.ts)$|^proto\/.*\.proto$|^(README\.md|LICENSE|package\.json)$/;
      expect(files.filter((file) => !expected.test(file) || /\btest\b/.test(file))).to.deep.equal([]);
      expect(files).to.include.members(["dist/main.js", "proto/tokenblacklist/v1/token_blacklist.proto"]);
      expect(danglingMaps(inside())).to.deep.equal([]);
    });

    it("run as a command", async () => {
      const command = join(service, "node_modules/.bin/token-blacklist");
      const { version } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
      expect((await run(command, ["--version"])).stdout).to.include(version);
    });

    it("run as a command after npm install -g", async () => {
      const prefix = await freshFolder();
      const { service: tarball } = await packages();
      const args = [
        "install",
        "--global",
        "--prefix",
        prefix,
        "--prefer-offline",
        "--ignore-scripts",
        tarball,
      ];
      await run("npm", [...args, "--no-audit", "--no-fund", "--loglevel=error"], { cwd: prefix });
      const { stdout } = await run(join(prefix, "bin/token-blacklist"), ["--help"], { cwd: prefix });
      expect(stdout).to.include("serve");
    });

    it("include the client", async () => {
      const { stdout } = await run(
        process.execPath,
        [
          "--input-type=module",
          "--eval",
          'console.log(typeof (await import("token-blacklist/client")).connect)',
        ],
        { cwd: service },
      );
      expect(stdout).to.equal("function\n");
    });
  });

  describe("of the client", () => {
    const inside = () => join(client, "node_modules", CLIENT);
    let running: ServiceProcess;
    let tools: string;

    before(async () => {
      tools = await freshFolder();
      await npmInstall(tools, TOOLS);
      running = await serveProcess({ DATABASE_URL: `sqlite:${join(await freshFolder(), "x.db")}` });
    });
    after(() => running?.kill());

    it("depend only on gRPC, protobuf, and their dependencies", async function () {
      const { dependencies } = JSON.parse(readFileSync(join(inside(), "package.json"), "utf8"));
      expect(Object.keys(dependencies)).to.deep.equal(["@bufbuild/protobuf", "@grpc/grpc-js"]);
      const lock = JSON.parse(readFileSync(join(client, "node_modules/.package-lock.json"), "utf8"));
      const count = Object.keys(lock.packages).length;
      const { stdout } = await run("du", ["-sk", join(client, "node_modules")]);
      const megabytes = Number.parseInt(stdout, 10) / 1024;
      if (this.test !== undefined) this.test.title += ` (${count} packages, ${megabytes.toFixed(1)} MB)`;
      expect(count).to.be.below(40);
      expect(megabytes).to.be.below(20);
    });

    it("contain no unused file", () => {
      const files = filesIn(inside());
      const expected =
        /^(cjs\/)?(dist|gen)\/.*\.(js|js\.map|d\.ts)$|^(README\.md|LICENSE|package\.json|cjs\/package\.json)$/;
      expect(files.filter((file) => !expected.test(file))).to.deep.equal([]);
      const foreign = /\/(store|blacklist|auth|authz|metrics|tracing|cli|config|envoy)\//;
      expect(files.filter((file) => foreign.test(file))).to.deep.equal([]);
      expect(danglingMaps(inside())).to.deep.equal([]);
    });

    it("have a page of their own, whose links are valid", () => {
      const page = readFileSync(join(inside(), "README.md"), "utf8");
      const anchors = [...page.matchAll(/^#+ (.*)$/gm)].map(([, heading = ""]) =>
        heading
          .toLowerCase()
          .replace(/[^\w -]/g, "")
          .replaceAll(" ", "-"),
      );
      // Brackets in code are not links.
      const text = page.replace(/```.*?```|`[^`\n]*`/gs, "");
      const links = [...text.matchAll(/\]\(([^)]*)\)/g)].map(([, link = ""]) => link);
      expect(links.filter((link) => !anchors.includes(link.slice(1)))).to.deep.equal([]);
      expect(page).to.include(`from "${CLIENT}"`);
    });

    // One session, in each of the ways in which a program may load it.
    const body = (address: string) => `
      const client = connect({ address: "${address}", log: { warn: console.log } });
      client.isBlacklisted("x").then(async (answer) => {
        console.log(answer);
        await client.blacklist([{ jti: "x", expiresAt: new Date(Date.now() + 60_000) }]);
        console.log(await client.isBlacklisted("x"));
        client.close();
        return client.isBlacklisted("x");
      }).catch((error) => console.log(error instanceof ClientError, error.code));
    `;
    const programs = {
      "an ECMAScript module": {
        file: "main.mjs",
        head: `import { ClientError, connect } from "${CLIENT}";`,
        flags: [],
      },
      "a CommonJS module": {
        file: "main.cjs",
        head: `const { ClientError, connect } = require("${CLIENT}");`,
        flags: [],
      },
      "a CommonJS module that cannot require ECMAScript modules": {
        file: "old.cjs",
        head: `const { ClientError, connect } = require("${CLIENT}");`,
        flags: ["--no-experimental-require-module"],
      },
    };
    for (const [what, { file, head, flags }] of Object.entries(programs)) {
      it(`work in ${what} without warnings`, async () => {
        const jti = `jti-${file}`;
        await writeFile(join(client, file), `${head}${body(running.address).replaceAll('"x"', `"${jti}"`)}`);
        const { stdout, stderr } = await run(process.execPath, [...flags, file], { cwd: client });
        expect({ stdout, stderr }).to.deep.equal({ stdout: "false\ntrue\ntrue CANCELLED\n", stderr: "" });
      });
    }

    it("are loaded once, by import and require in one process", async () => {
      const text = `import("${CLIENT}").then((m) => console.log(m.ClientError === require("${CLIENT}").ClientError));`;
      await writeFile(join(client, "both.cjs"), text);
      expect((await run(process.execPath, ["both.cjs"], { cwd: client })).stdout).to.equal("true\n");
    });

    it("are valid for publint", async () => {
      const tarball = (await packages()).client;
      const { stdout } = await run(process.execPath, [
        join(tools, "node_modules/publint/src/cli.js"),
        "run",
        tarball,
        "--strict",
      ]).catch((error) => error);
      expect(stdout).to.include("All good");
    });

    describe("have types", () => {
      const text = `
        import { type BlacklistClient, ClientError, clientCredentials, connect } from "${CLIENT}";
        export async function isOut(jti: string): Promise<boolean> {
          const credentials = clientCredentials({ tls: true });
          const client: BlacklistClient = connect({ address: "127.0.0.1:1", credentials });
          try {
            return await client.isBlacklisted(jti, { maxStalenessMs: 1000 });
          } catch (error) {
            return error instanceof ClientError && error.code === "UNAVAILABLE";
          }
        }
        // @ts-expect-error An address is text; if it were any, the types would not have been found.
        connect({ address: 1 });
      `;
      before(async () => {
        for (const name of ["main.mts", "main.cts", "main.ts"]) await writeFile(join(client, name), text);
      });

      const resolutions = [
        ["commonjs", "node10", ["main.ts"], ["old"]],
        ["node16", "node16", ["main.mts", "main.cts"], ["old", "new"]],
        ["nodenext", "nodenext", ["main.mts", "main.cts"], ["old", "new"]],
        ["esnext", "bundler", ["main.ts"], ["old", "new"]],
        ["commonjs", "bundler", ["main.ts"], ["new"]],
      ] as const;
      for (const [module, moduleResolution, names, compilers] of resolutions) {
        it(`under moduleResolution ${moduleResolution} for module ${module}`, async () => {
          for (const compiler of compilers) {
            const folder = join(client, `${compiler}-${module}-${moduleResolution}`);
            await mkdir(folder, { recursive: true });
            const compilerOptions = {
              module,
              moduleResolution,
              target: "es2022",
              strict: true,
              noEmit: true,
              skipLibCheck: false,
            };
            await writeFile(
              join(folder, "tsconfig.json"),
              JSON.stringify({ compilerOptions, files: names.map((name) => `../${name}`) }),
            );
            const tsc = join(compiler === "old" ? tools : ROOT, "node_modules/typescript/bin/tsc");
            const { stdout } = await run(process.execPath, [tsc, "-p", folder]).catch((error) => error);
            expect(stdout, compiler).to.equal("");
          }
        });
      }
    });
  });
});
