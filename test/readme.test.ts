import { execFile } from "node:child_process";
import { readFile, rm } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect } from "chai";
import { serveProcess } from "./support/service-process.ts";
import { freshFolder } from "./support/shared.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** Times, and the widths of columns with them, differ between runs. */
function timeless(output: string): string {
  return output
    .replace(/\d{4}-\d\d-\d\dT[\d:]+Z \([^)]*\)/g, "TIME")
    .replace(/ +/g, " ")
    .trim();
}

describe("README's example session", () => {
  it("runs as printed", async () => {
    const readme = await readFile(join(ROOT, "README.md"), "utf8");
    const blocks = [...readme.matchAll(/```console\n(.*?)```/gs)].map((match) => match[1] ?? "");
    const conversation = blocks.find((block) => block.includes(" check ")) ?? "";
    const exchanges = conversation
      .split(/^\$ /m)
      .slice(1)
      .map((text) => {
        const [command = "", ...printed] = text.split("\n");
        return { command, printed: printed.join("\n") };
      });
    const folder = await freshFolder();
    const service = await serveProcess({ DATABASE_URL: `sqlite:${join(folder, "x.db")}` });
    try {
      for (const { command, printed } of exchanges) {
        // A check that finds a blacklisted token exits with 1, which is not a failure here.
        const env = {
          ...process.env,
          PATH: `${join(ROOT, "bin")}${delimiter}${process.env.PATH}`,
          TOKEN_BLACKLIST_ADDRESS: service.address,
        };
        const { stdout } = await promisify(execFile)("sh", ["-c", `${command} || true`], { cwd: ROOT, env });
        expect(timeless(stdout), command).to.equal(timeless(printed));
      }
    } finally {
      await service.kill();
      await rm(folder, { recursive: true });
    }
    expect(exchanges).to.have.length(4);
  });
});

describe("the client's first example", () => {
  it("prints the documented output", async () => {
    const page = await readFile(join(ROOT, "docs/client.md"), "utf8");
    const [, code = "", printed = ""] = /```js\n(.*?)```\n\n```text\n(.*?)```/s.exec(page) ?? [];
    const folder = await freshFolder();
    const service = await serveProcess({ DATABASE_URL: `sqlite:${join(folder, "x.db")}` });
    try {
      // In this folder, the package's own name refers to the build. The package itself is tested where it is made.
      const here = code.replace("token-blacklist-client", "token-blacklist/client");
      const args = ["--input-type=module", "--eval", here.replace("127.0.0.1:50051", service.address)];
      const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: ROOT });
      expect(stdout).to.equal(printed);
    } finally {
      await service.kill();
      await rm(folder, { recursive: true });
    }
    expect(printed).to.include("true");
  });
});
