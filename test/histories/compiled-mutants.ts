import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Mutant } from "./mutant.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const COPIED = ["src", "gen", "package.json", "tsconfig.json", "tsconfig.build.json"];
/** Without what may differ in the output of two files that do the same. */
const COMPILER_OPTIONS = [
  "-p",
  "tsconfig.build.json",
  "--removeComments",
  "--sourceMap",
  "false",
  "--inlineSources",
  "false",
];

interface Hunk {
  readonly file: string;
  /** The lines that the hunk replaces, context included. */
  readonly before: string;
}

/** The hunks of a mutant whose lines occur at several places of their file, so that they might change the wrong one. */
export function ambiguousHunks(mutant: Mutant): Hunk[] {
  return hunksOf(mutant).filter(({ file, before }) => {
    const text = `\n${readFileSync(join(ROOT, file), "utf8")}`;
    return text.indexOf(`\n${before}`) !== text.lastIndexOf(`\n${before}`);
  });
}

/** The files that a mutant changes. */
export function filesOf(mutant: Mutant): string[] {
  return [...new Set(hunksOf(mutant).map(({ file }) => file))];
}

function hunksOf({ patch }: Mutant): Hunk[] {
  const [, ...files] = readFileSync(patch, "utf8").split(/^diff --git .*\n/m);
  return files.flatMap((text) => {
    const [header = "", ...hunks] = text.split(/^@@ .*\n/m);
    const file = /^\+\+\+ b\/(.+)$/m.exec(header)?.[1] ?? "";
    return hunks.map((hunk) => ({
      file,
      before: hunk.replaceAll(/^\+.*\n/gm, "").replaceAll(/^[ -]/gm, ""),
    }));
  });
}

/**
 * The files that mutants change, compiled in a temporary folder. The compiler runs once: a patched file stands beside the original,
 * under a name of its own, and imports original files only.
 */
export class CompiledMutants {
  readonly #folder = mkdtempSync(join(tmpdir(), "token-blacklist-mutants-"));
  /** The compiler's errors. */
  readonly errors: string;

  /** Throws if a patch does not apply. */
  constructor(mutants: readonly Mutant[]) {
    try {
      for (const name of COPIED) cpSync(join(ROOT, name), join(this.#folder, name), { recursive: true });
      symlinkSync(join(ROOT, "node_modules"), join(this.#folder, "node_modules"));
      for (const mutant of mutants) this.#add(mutant);
      this.errors = this.#compile();
    } catch (error) {
      this.remove();
      throw error;
    }
  }

  /** Whether the mutant changes more of the file than comments and types. */
  changes({ name }: Mutant, file: string): boolean {
    return this.#output(file) !== this.#output(patchedName(file, name));
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #add(mutant: Mutant): void {
    const folder = join(this.#folder, mutant.name);
    for (const file of filesOf(mutant)) cpSync(join(ROOT, file), join(folder, file));
    execFileSync("git", ["apply", mutant.patch], { cwd: folder, stdio: "pipe" });
    for (const file of filesOf(mutant)) {
      renameSync(join(folder, file), join(this.#folder, patchedName(file, mutant.name)));
    }
  }

  #compile(): string {
    const tsc = join(ROOT, "node_modules/typescript/bin/tsc");
    const { stdout, stderr } = spawnSync(process.execPath, [tsc, ...COMPILER_OPTIONS], {
      cwd: this.#folder,
      encoding: "utf8",
    });
    return `${stdout}${stderr}`;
  }

  #output(file: string): string {
    return readFileSync(join(this.#folder, file.replace(/^src/, "dist").replace(/ts$/, "js")), "utf8");
  }
}

function patchedName(file: string, mutant: string): string {
  return file.replace(/ts$/, `${mutant}.ts`);
}
