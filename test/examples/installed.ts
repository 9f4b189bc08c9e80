import { cpSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { npmInstall, packages } from "../support/packed.ts";
import { freshFolder } from "../support/shared.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
export const EXAMPLES = join(ROOT, "examples");

/** The minimum versions of `examples/package.json`, or those in this repository. */
export type Versions = "oldest" | "newest";

/** A copy of the examples with the packed client and the packed service. */
export interface Installed {
  readonly folder: string;
  /** The service's `main.js`. */
  readonly main: string;
}

interface Manifest {
  readonly version: string;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
}

const manifest = JSON.parse(readFileSync(join(EXAMPLES, "package.json"), "utf8")) as Manifest;
const installed = new Map<Versions, Promise<Installed>>();

/** Created once per run for all examples. */
export function installExamples(versions: Versions): Promise<Installed> {
  const made = installed.get(versions) ?? install(versions);
  installed.set(versions, made);
  return made;
}

async function install(versions: Versions): Promise<Installed> {
  const folder = await freshFolder();
  const { service, client } = await packages();
  const { "token-blacklist-client": _, ...needed } = manifest.dependencies;
  // Without the packages that only run them.
  const names = Object.keys({ ...needed, tsx: "" });
  const choose = versions === "oldest" ? (name: string) => oldestOf(needed[name]) ?? current(name) : current;
  cpSync(EXAMPLES, folder, { recursive: true });
  await npmInstall(folder, {
    ...Object.fromEntries(names.map((name) => [name, choose(name)])),
    "token-blacklist": service,
    "token-blacklist-client": client,
  });
  return { folder, main: join(folder, "node_modules/token-blacklist/dist/main.js") };
}

/** The lowest version of a range. */
export function oldestOf(range = ""): string | undefined {
  return /\d+\.\d+\.\d+/.exec(range)?.[0];
}

function current(name: string): string {
  return (JSON.parse(readFileSync(join(ROOT, "node_modules", name, "package.json"), "utf8")) as Manifest)
    .version;
}
