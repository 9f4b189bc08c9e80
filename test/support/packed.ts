import { execFile } from "node:child_process";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { build } from "./service-process.ts";
import { freshFolder } from "./shared.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const run = promisify(execFile);

/** Paths of the results of `make packages`. */
export interface Packed {
  readonly service: string;
  readonly client: string;
}

let packed: Promise<Packed> | undefined;

/** The packages of this source, built once per run. */
export function packages(): Promise<Packed> {
  packed ??= freshFolder().then(makePackages);
  return packed;
}

/** Runs `make packages` into `folder`. */
export async function makePackages(folder: string): Promise<Packed> {
  build();
  await run(process.execPath, ["--import", "tsx", join(ROOT, "scripts/make-packages.ts"), folder], {
    cwd: ROOT,
  });
  const names = await readdir(folder);
  const path = (pattern: RegExp) => join(folder, names.find((name) => pattern.test(name)) ?? "");
  return { service: path(/^token-blacklist-\d/), client: path(/^token-blacklist-client-\d/) };
}

/** Installs into `folder` as a user does, from npm's configured registry. Versions may be ranges or paths of tarballs. */
export async function npmInstall(
  folder: string,
  dependencies: Readonly<Record<string, string>>,
): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(
    join(folder, "package.json"),
    JSON.stringify({ private: true, type: "module", dependencies }),
  );
  const args = [
    "install",
    "--ignore-scripts",
    "--prefer-offline",
    "--no-audit",
    "--no-fund",
    "--loglevel=error",
  ];
  await run("npm", args, { cwd: folder });
}
