import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readFile, symlink } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const LOOKED_AT = "50";
const run = promisify(execFile);

export interface EarlierBuild {
  /** The commit it was built from. */
  readonly revision: string;
  /** Its `main.js`. */
  readonly main: string;
}

/**
 * An earlier version of this project, built in `folder`, with the installed packages if possible: that of UPGRADE_FROM, else the last
 * release, else the newest commit whose source differs. A text with the reason if there is none, as in a shallow checkout.
 */
export async function earlierBuild(folder: string): Promise<EarlierBuild | string> {
  const given = process.env.UPGRADE_FROM;
  const revision = given || (await lastRelease()) || (await earlierSource());
  if (revision === undefined) return "no earlier version is known here";
  const archive = join(folder, "source.tar");
  try {
    await mkdir(folder, { recursive: true });
    await git("archive", `--output=${archive}`, revision);
    await run("tar", ["-xf", archive, "-C", folder]);
    await addPackages(folder);
  } catch (error) {
    // An explicit version must not be skipped silently.
    if (given) throw error;
    return `${revision} cannot be had here`;
  }
  const compiler = join(ROOT, "node_modules/typescript/bin/tsc");
  // A version that does not type-check with the current packages may still run.
  await run(process.execPath, [compiler, "-p", join(folder, "tsconfig.build.json")]).catch(() => {});
  const main = join(folder, "dist/main.js");
  return existsSync(main) ? { revision, main } : `${revision} cannot be built on the packages of today`;
}

/** The installed packages, or its own if it needs others. */
async function addPackages(folder: string): Promise<void> {
  const { dependencies } = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
  const isThere = (name: string) => existsSync(join(ROOT, "node_modules", name));
  if (Object.keys(dependencies).every(isThere)) {
    await symlink(join(ROOT, "node_modules"), join(folder, "node_modules"));
  } else await run("npm", ["ci", "--omit=dev", "--ignore-scripts", "--prefer-offline"], { cwd: folder });
}

async function git(...args: string[]): Promise<string> {
  const { stdout } = await run("git", args, { cwd: ROOT });
  return stdout.trim();
}

async function lastRelease(): Promise<string | undefined> {
  const tag = await git("describe", "--tags", "--abbrev=0", "--match", "v[0-9]*").catch(() => "");
  return tag !== "" && (await differs(tag)) ? tag : undefined;
}

async function earlierSource(): Promise<string | undefined> {
  const found = await git("log", `--max-count=${LOOKED_AT}`, "--format=%H", "HEAD", "--", "src").catch(
    () => "",
  );
  for (const commit of found.split("\n").filter((line) => line !== "")) {
    if (await differs(commit)) return commit;
  }
  return undefined;
}

/** Whether the working tree's source differs. */
async function differs(revision: string): Promise<boolean> {
  return git("diff", "--quiet", revision, "--", "src").then(
    () => false,
    (error: { code?: number }) => error.code === 1,
  );
}
