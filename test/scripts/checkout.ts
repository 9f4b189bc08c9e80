import { execFile } from "node:child_process";
import { cp, mkdir, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { freshFolder } from "../support/shared.ts";

export const ROOT = fileURLToPath(new URL("../..", import.meta.url));

export interface Ran {
  readonly code: number;
  readonly output: string;
}

/** A partial copy of this checkout, which scripts may change. */
export class Checkout {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  /** With these files and folders. `packages`: with a link to the installed packages. */
  static async with(paths: readonly string[], { packages }: { packages: boolean }): Promise<Checkout> {
    const folder = await freshFolder();
    for (const path of paths) await cp(join(ROOT, path), join(folder, path), { recursive: true });
    if (packages) await symlink(join(ROOT, "node_modules"), join(folder, "node_modules"));
    return new Checkout(folder);
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  async write(name: string, text: string): Promise<void> {
    await mkdir(dirname(this.path(name)), { recursive: true });
    await writeFile(this.path(name), text);
  }

  /** Runs a program of the checkout; a failure is a result too. */
  async run(program: string, args: readonly string[] = [], env: NodeJS.ProcessEnv = {}): Promise<Ran> {
    try {
      const { stdout, stderr } = await promisify(execFile)(program, args, {
        cwd: this.folder,
        env: { ...process.env, ...env },
      });
      return { code: 0, output: stdout + stderr };
    } catch (error) {
      const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
      return { code, output: stdout + stderr };
    }
  }
}
