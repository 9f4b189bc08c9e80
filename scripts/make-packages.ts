// Builds the publishable packages: the service, and its client as a separate package. `node --import tsx scripts/make-packages.ts
// [folder]`, with a built dist/; the default folder is packages/. Reproducible: the same sources give the same bytes.

import { execFileSync } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
/** The module that users of the client import. The package contains it and everything it imports, directly or indirectly. */
const ENTRY = "client/connect";

interface Manifest {
  readonly version: string;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly files: readonly string[];
  readonly [field: string]: unknown;
}

const manifest = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as Manifest;
const target = resolve(process.argv[2] ?? join(ROOT, "packages"));
// In the repository, where the compiler finds the packages that the sources import. It compiles nothing below node_modules.
const staging = mkdtempSync(join(ROOT, "packages.new-"));
try {
  const service = join(staging, "service");
  const client = join(staging, "client");
  stageService(service);
  stageClient(client);
  const names = [service, client].map(pack);
  mkdirSync(target, { recursive: true });
  for (const name of names) {
    // Renamed once complete, so that a tarball is never partial.
    const partial = join(target, `.${name}-${process.pid}`);
    cpSync(join(staging, name), partial);
    renameSync(partial, join(target, name));
    process.stdout.write(`${join(target, name)}\n`);
  }
} finally {
  rmSync(staging, { recursive: true });
}

function stageService(folder: string): void {
  // Whole folders, of which npm packs the files selected by the same list.
  const folders = manifest.files.map((path) => path.split("/")[0] as string);
  for (const path of [...folders, "README.md", "LICENSE"]) copy(path, folder);
  const { devDependencies, scripts, allowScripts, ...published } = manifest;
  writeJson(join(folder, "package.json"), published);
}

function stageClient(folder: string): void {
  // ECMAScript modules, from the build.
  const { files, packages } = reachedFrom([`dist/${ENTRY}.js`, `dist/${ENTRY}.d.ts`]);
  for (const file of files) {
    copy(file, folder);
    if (existsSync(join(ROOT, `${file}.map`))) copy(`${file}.map`, folder);
  }
  stageCommonJs(join(folder, "cjs"), files);
  for (const file of filesIn(folder).filter((name) => name.endsWith(".d.ts"))) makePortable(file);
  copy("LICENSE", folder);
  writeFileSync(
    join(folder, "README.md"),
    withoutLocalLinks(readFileSync(join(ROOT, "docs/client.md"), "utf8")),
  );
  const { version, license, engines, dependencies } = manifest;
  writeJson(join(folder, "package.json"), {
    ...JSON.parse(readFileSync(join(ROOT, "packaging/token-blacklist-client.json"), "utf8")),
    ...{ version, license, engines },
    dependencies: Object.fromEntries(packages.map((name) => [name, dependencies[name]])),
  });
}

/**
 * For `require`: the same `files` in the same layout, compiled from the sources as CommonJS. Every supported Node can require the
 * ECMAScript modules, and does (condition `module-sync` in package.json), so that a process never loads both; the CommonJS files
 * are for Jest, bundlers, and TypeScript's `moduleResolution: node16`.
 */
function stageCommonJs(folder: string, files: readonly string[]): void {
  for (const path of ["src", "gen"]) copy(path, folder);
  writeJson(join(folder, "package.json"), { type: "commonjs" });
  compile(folder, { rootDir: "src", outDir: "dist" }, [`src/${ENTRY}.ts`]);
  // Compiled separately: an import of a generated file resolves to its types first, so the compiler would not convert the file.
  const generated = files.filter((file) => /^gen\/.*\.js$/.test(file));
  const asTheyStand = { sourceMap: false, inlineSources: false, declaration: false };
  compile(folder, { rootDir: "gen", outDir: "gen.new", allowJs: true, ...asTheyStand }, generated);
  for (const path of ["src", "gen"]) rmSync(join(folder, path), { recursive: true });
  renameSync(join(folder, "gen.new"), join(folder, "gen"));
  for (const file of filesIn(folder).filter((name) => name.endsWith(".d.ts"))) {
    if (!files.includes(file.slice(folder.length + 1))) rmSync(file);
  }
}

function compile(folder: string, options: object, files: readonly string[]): void {
  const config = join(folder, "tsconfig.json");
  writeJson(config, {
    extends: join(ROOT, "tsconfig.build.json"),
    compilerOptions: { verbatimModuleSyntax: false, ...options },
    ...{ include: [], files },
  });
  execFileSync(process.execPath, [join(ROOT, "node_modules/typescript/bin/tsc"), "-p", config], {
    stdio: "inherit",
  });
  rmSync(config);
}

/** The repository's files, and the external packages, that `entries` import directly or indirectly. */
function reachedFrom(entries: readonly string[]): { files: string[]; packages: string[] } {
  const files = new Set(entries);
  const packages = new Set<string>();
  // Iterating over a set includes elements that are added meanwhile.
  for (const file of files) {
    const text = readFileSync(join(ROOT, file), "utf8");
    for (const [, name = ""] of text.matchAll(/\b(?:from|import) ?\(?"([^"\n]+)"/g)) {
      const path = join(dirname(file), name);
      if (name.startsWith(".")) files.add(file.endsWith(".d.ts") ? path.replace(/\.[jt]s$/, ".d.ts") : path);
      else if (!name.startsWith("node:")) packages.add(/^(?:@[^/]+\/)?[^/]+/.exec(name)?.[0] ?? name);
    }
  }
  return { files: [...files], packages: [...packages].sort() };
}

/** Removes `.ts` from the imports of types, where the compiler leaves it and compilers before 5.0 do not find the file. */
function makePortable(file: string): void {
  const text = readFileSync(file, "utf8");
  writeFileSync(file, text.replace(/\b(from|import) ?(\(?"\.[^"\n]+)\.ts"/g, '$1 $2.js"'));
}

/** Turns a page of docs/ into a standalone page: links to files that are not packed become plain text. */
function withoutLocalLinks(page: string): string {
  const links = /\[([^\]]+)\]\((?!https?:|#)([^)#]+)[^)]*\)/g;
  const named = page.replace(links, (_, text: string, path: string) => {
    const name = `\`${join("docs", path)}\``;
    return /\.(md|ts)`?$/.test(text) ? name : `${text} (${name})`;
  });
  return `${named}\n## License\n\nApache License 2.0. Paths such as \`docs/errors.md\` are those of the service's repository.\n`;
}

/** Returns the tarball's name; the tarball is in the parent folder. */
function pack(folder: string): string {
  // Independent of this machine's umask.
  for (const file of filesIn(folder)) chmodSync(file, file.endsWith("/main.js") ? 0o755 : 0o644);
  const args = ["pack", folder, "--json", "--ignore-scripts", "--pack-destination", staging];
  const [packed] = JSON.parse(execFileSync("npm", args, { cwd: staging, encoding: "utf8" })) as {
    filename: string;
  }[];
  if (packed === undefined) throw new Error(`npm pack has made nothing of ${folder}`);
  return packed.filename;
}

function copy(path: string, folder: string): void {
  cpSync(join(ROOT, path), join(folder, path), { recursive: true });
}

function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

function writeJson(file: string, value: unknown): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `${JSON.stringify(value, undefined, 2)}\n`);
}
