import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type FaultName, isFaultName } from "./faults/faults.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** The folders that a history needs. */
const COPIED = ["src", "gen", "test", "scripts", "package.json", "tsconfig.json", "tsconfig.build.json"];

/** A patch that breaks one rule of the service. Its first lines name the rule, and the faults that should reveal it. */
export interface Mutant {
  readonly name: string;
  readonly patch: string;
  readonly rule: string;
  readonly faults: readonly FaultName[];
  /** Absent: derived from the seeds. */
  readonly binaryLog: "on" | "off" | undefined;
  /** The service's setting INDEX; absent: its default. */
  readonly index: "on" | "off" | undefined;
}

/** Throws a RangeError if the first lines are incomplete. */
export function readMutant(patch: string): Mutant {
  const name = basename(patch, ".patch");
  const text = readFileSync(patch, "utf8");
  const said = (what: string) => new RegExp(`^# ${what}: (.+)$`, "m").exec(text)?.[1];
  const rule = said("rule");
  const faults = said("faults")?.split(" ") ?? [];
  if (rule === undefined || faults.length === 0 || !faults.every(isFaultName)) {
    throw new RangeError(`${name} does not begin with "# rule: ..." and "# faults: NAME ..."`);
  }
  return { name, patch, rule, faults, binaryLog: onOrOff(said("binlog")), index: onOrOff(said("index")) };
}

function onOrOff(value: string | undefined): "on" | "off" | undefined {
  if (value === undefined || value === "on" || value === "off") return value;
  throw new RangeError(`"${value}" is neither on nor off`);
}

/** A copy of the project in a temporary folder. */
export class PatchedCopy {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  /** Throws with the reason if the patch does not apply or the result does not compile. */
  static make({ patch }: Mutant): PatchedCopy {
    const copy = new PatchedCopy(mkdtempSync(join(tmpdir(), "token-blacklist-mutant-")));
    try {
      for (const name of COPIED) cpSync(join(ROOT, name), join(copy.folder, name), { recursive: true });
      symlinkSync(join(ROOT, "node_modules"), join(copy.folder, "node_modules"));
      copy.#run("git", ["apply", patch]);
      copy.#run(process.execPath, ["node_modules/typescript/bin/tsc", "-p", "tsconfig.build.json"]);
      return copy;
    } catch (error) {
      copy.remove();
      throw error;
    }
  }

  #run(command: string, args: readonly string[]): void {
    try {
      execFileSync(command, args, { cwd: this.folder, stdio: "pipe", encoding: "utf8" });
    } catch (cause) {
      const { stdout = "", stderr = "" } = cause as { stdout?: string; stderr?: string };
      throw new Error(`${stdout}${stderr}`.trim(), { cause });
    }
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
