import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Mutant } from "./mutant.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
/** Compiles each file by itself, without comments, and reports syntax errors only. */
const COMPILER = ["--ignoreConfig", "--noCheck", "--noResolve", "--removeComments", "--target", "es2023"];
/** The folder of the files without a patch. */
const ORIGINAL = "original";

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

/** The files that mutants change, with and without their patches, compiled in a temporary folder. */
export class CompiledMutants {
  readonly #folder = mkdtempSync(join(tmpdir(), "token-blacklist-mutants-"));
  /** The compiler's errors. */
  readonly errors: string;

  /** Throws if a patch does not apply. */
  constructor(mutants: readonly Mutant[]) {
    try {
      this.errors = this.#compile(mutants.flatMap((mutant) => this.#patch(mutant)));
    } catch (error) {
      this.remove();
      throw error;
    }
  }

  /** Whether the mutant changes more of the file than comments and types. */
  changes({ name }: Mutant, file: string): boolean {
    return this.#read(name, file) !== this.#read(ORIGINAL, file);
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Returns the paths of the files. */
  #patch(mutant: Mutant): string[] {
    const sources = filesOf(mutant).flatMap((file) => {
      const copies = [join(mutant.name, file), join(ORIGINAL, file)];
      for (const copy of copies) cpSync(join(ROOT, file), join(this.#folder, copy));
      return copies;
    });
    execFileSync("git", ["apply", mutant.patch], { cwd: join(this.#folder, mutant.name), stdio: "pipe" });
    return sources;
  }

  #compile(sources: readonly string[]): string {
    const tsc = join(ROOT, "node_modules/typescript/bin/tsc");
    const { stdout, stderr } = spawnSync(process.execPath, [tsc, ...COMPILER, ...new Set(sources)], {
      cwd: this.#folder,
      encoding: "utf8",
    });
    return `${stdout}${stderr}`;
  }

  #read(version: string, file: string): string {
    return readFileSync(join(this.#folder, version, file.replace(/\.ts$/, ".js")), "utf8");
  }
}
