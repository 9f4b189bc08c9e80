import { execFile, spawn } from "node:child_process";
import { chmod, readdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { freePort } from "../support/free-port.ts";
import { freshDatabase } from "../support/shared.ts";
import { until } from "../support/until.ts";
import { type EmulatedImage, emulateImage } from "./emulated-image.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
// As another user if the tests may switch; then the system enforces read-only files.
const OTHER_USER = process.getuid?.() === 0 ? { uid: 65_532, gid: 65_532 } : {};

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

describe("the image", function () {
  // npm installs the shipped files.
  this.timeout(300_000);
  let image: EmulatedImage;
  let env: Record<string, string>;

  before(async () => {
    image = await emulateImage(ROOT);
    // Other users need access to it.
    for (let folder = image.root; folder.includes("token-blacklist-test"); folder = dirname(folder)) {
      await chmod(folder, 0o711);
    }
    env = {
      ...image.env,
      LISTEN_ADDRESS: `127.0.0.1:${await freePort()}`,
      ADMIN_ADDRESS: `127.0.0.1:${await freePort()}`,
    };
  });

  /** Runs the image's command as its user. */
  function run(args: readonly string[], set: Readonly<Record<string, string>> = env): Promise<Ended> {
    return new Promise((resolve) => {
      const options = { cwd: image.folder, env: set, ...OTHER_USER };
      execFile(process.execPath, [...args], options, (error, stdout, stderr) => {
        resolve({ code: typeof error?.code === "number" ? error.code : error ? -1 : 0, stdout, stderr });
      });
    });
  }
  const command = (...args: string[]) => run([...image.entrypoint, ...args]);

  /** While the service runs, observed only by its health check. */
  async function whileServing(
    set: Readonly<Record<string, string>>,
    work: () => Promise<void>,
  ): Promise<void> {
    const child = spawn(process.execPath, [...image.entrypoint, ...image.command], {
      cwd: image.folder,
      env: { ...env, ...set },
      stdio: ["ignore", "ignore", "pipe"],
      ...OTHER_USER,
    });
    let complaint = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      complaint += text;
    });
    const ended = new Promise((resolve) => child.once("close", resolve));
    try {
      await until(
        async () => {
          if (child.exitCode !== null) throw new Error(`ended with ${child.exitCode}: ${complaint}`);
          return (await run(image.healthcheck)).code === 0;
        },
        { withinMs: 20_000, what: "it is healthy" },
      );
      await work();
    } finally {
      child.kill("SIGTERM");
      await ended;
    }
    expect(child.exitCode).to.equal(0);
  }

  async function files(): Promise<string[]> {
    const names = await readdir(image.root, { recursive: true });
    return names.filter((name) => !name.startsWith("app/data/")).sort();
  }

  it("runs as a non-root user, without a shell", () => {
    const { user, entrypoint, command: words, healthcheck } = image;
    expect({ user, entrypoint, words, healthcheck }).to.deep.equal({
      user: "65532:65532",
      entrypoint: ["dist/main.js"],
      words: ["serve"],
      healthcheck: ["dist/main.js", "health"],
    });
  });

  it("contains only what is needed at run time", async () => {
    expect((await readdir(image.folder)).sort()).to.deep.equal(
      ["LICENSE", "data", "dist", "gen", "node_modules", "package.json"].sort(),
    );
    const { dependencies, devDependencies } = JSON.parse(await readFile(join(ROOT, "package.json"), "utf8"));
    const installed = await readdir(join(image.folder, "node_modules"));
    const folderOf = (name: string) => name.split("/")[0] as string;
    const development = Object.keys(devDependencies).filter((name) => !folderOf(name).startsWith("@"));
    expect(installed).to.include.members(Object.keys(dependencies).map(folderOf));
    expect(development.filter((name) => installed.includes(name))).to.deep.equal([]);
  });

  it("has labels, and refuses to serve other machines without TLS and authentication", async () => {
    const { version } = JSON.parse(await readFile(join(ROOT, "package.json"), "utf8"));
    expect(await command("--version")).to.deep.equal({ code: 0, stdout: `${version}\n`, stderr: "" });
    const open = await run([...image.entrypoint, ...image.command], image.env);
    expect({
      code: open.code,
      why: /LISTEN_ADDRESS must be a loopback address/.test(open.stderr),
    }).to.deep.equal({
      code: 2,
      why: true,
    });
  });

  it("is unhealthy while the service is not serving", async () => {
    expect((await run(image.healthcheck)).code).to.equal(69);
  });

  it("serves the embedded file in its data folder, and writes nowhere else", async () => {
    const before = await files();
    const address = ["--address", String(env.LISTEN_ADDRESS)];
    await whileServing({}, async () => {
      const revoked = await command("blacklist", "x", "--expires-at", "1h", ...address);
      expect(revoked).to.include({ code: 0, stderr: "" });
      expect((await command("check", "x", ...address)).code).to.equal(1);
    });
    expect(await files()).to.deep.equal(before);
    expect(await readdir(join(image.folder, "data"))).to.include("token-blacklist.db");
  });

  it("migrates and serves a MySQL database whose URL is in a file", async () => {
    const { url, dispose } = await freshDatabase();
    const secret = { DATABASE_URL_FILE: join(image.root, "database-url") };
    try {
      await writeFile(secret.DATABASE_URL_FILE, `${url}\n`);
      const migrated = await run([...image.entrypoint, "migrate", "up"], { ...env, ...secret });
      expect(migrated).to.include({ code: 0, stderr: "" });
      await whileServing(secret, async () => {
        const address = ["--address", String(env.LISTEN_ADDRESS)];
        expect((await command("check", "x", ...address)).code).to.equal(0);
      });
    } finally {
      await dispose();
    }
  });
});
