import { execFile } from "node:child_process";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { build } from "./service-process.ts";
import { freshFolder } from "./shared.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const run = promisify(execFile);

/** Paths of what `make packages` makes. */
export interface Packed {
  readonly service: string;
  readonly client: string;
}

let packed: Promise<Packed> | undefined;

/** The packages of this source, made once a run. */
export function packages(): Promise<Packed> {
  packed ??= freshFolder().then(makePackages);
  return packed;
}

/** What `make packages` does, into `folder`. */
export async function makePackages(folder: string): Promise<Packed> {
  build();
  await run(process.execPath, ["--import", "tsx", join(ROOT, "scripts/make-packages.ts"), folder], {
    cwd: ROOT,
  });
  const names = await readdir(folder);
  const path = (pattern: RegExp) => join(folder, names.find((name) => pattern.test(name)) ?? "");
  return { service: path(/^token-blacklist-\d/), client: path(/^token-blacklist-client-\d/) };
}

/** Installs into `folder` as a user would, from the registry that npm is set up for. The versions may be ranges, or paths of tarballs. */
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
