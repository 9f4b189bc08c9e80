import { type ChildProcess, spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import type { FaultName } from "./faults/faults.ts";
import { type Mutant, PatchedCopy, readMutant } from "./mutant.ts";
import type { Result } from "./result.ts";

// Breaks one rule of the service at a time and runs histories until the checker detects it. A surviving mutant shows that
// the checker or the faults are too weak.

const FOLDER = fileURLToPath(new URL("mutants", import.meta.url));
const USAGE = `usage: make mutants ARGS="[--histories N] [NAME ...]"
  NAME           only the mutants whose names contain one of these
  --histories N  histories of each kind of fault after which a mutant has survived (60)
`;
/** Histories of one kind before the next kind: each run starts a cluster. */
const RUN = 10;
const RUN_TIMEOUT_MS = 240_000;
/** The time to stop what it started. */
const GRACE_MS = 30_000;

let running: ChildProcess | undefined;
let interrupted = false;
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => {
    interrupted = true;
    running?.kill("SIGTERM");
  });
}

interface Hunt {
  readonly histories: number;
  /** How many of them did too little to prove anything. */
  readonly insufficient: number;
  /** The history that detected the mutant; absent if none did. */
  readonly proof: Result | undefined;
}

async function hunt(mutant: Mutant, folder: string, most: number): Promise<Hunt> {
  let [histories, insufficient] = [0, 0];
  for (let from = 1; from <= most && !interrupted; from += RUN) {
    for (const fault of mutant.faults) {
      for (const result of await run(folder, mutant, { fault, from, to: Math.min(most, from + RUN - 1) })) {
        histories++;
        if (result.verdict === "insufficient") insufficient++;
        if (result.verdict === "violation") return { histories, insufficient, proof: result };
      }
      if (interrupted) break;
    }
  }
  return { histories, insufficient, proof: undefined };
}

/** Runs histories in the patched copy, with its own tools, until one is violated. */
async function run(
  folder: string,
  { binaryLog, index }: Mutant,
  { fault, from, to }: { fault: FaultName; from: number; to: number },
): Promise<Result[]> {
  const child = spawn(
    process.execPath,
    [
      ...["--import", "tsx", "test/histories/main.ts", "--json", "--fail-fast", "--seeds", `${from}-${to}`],
      ...["--fault", fault],
      ...(binaryLog === undefined ? [] : ["--binlog", binaryLog]),
      ...(index === undefined ? [] : ["--index", index]),
    ],
    { cwd: folder, stdio: ["ignore", "pipe", "inherit"] },
  );
  running = child;
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const tooLong = setTimeout(() => child.kill("SIGTERM"), RUN_TIMEOUT_MS);
  const muchTooLong = setTimeout(() => child.kill("SIGKILL"), RUN_TIMEOUT_MS + GRACE_MS);
  const results: Result[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    const parsed = JSON.parse(line) as Result | { summary: unknown };
    if ("verdict" in parsed) results.push(parsed);
  }
  await ended;
  clearTimeout(tooLong);
  clearTimeout(muchTooLong);
  running = undefined;
  return results;
}

/** Whether it was detected. */
async function judge(mutant: Mutant, most: number): Promise<boolean> {
  let copy: PatchedCopy;
  try {
    copy = PatchedCopy.make(mutant);
  } catch (error) {
    say(`BROKEN    ${mutant.name}: ${(error as Error).message}`);
    return false;
  }
  try {
    const { histories, insufficient, proof } = await hunt(mutant, copy.folder, most);
    if (proof === undefined) {
      say(
        `SURVIVED  ${mutant.name} (${mutant.rule}): ${histories} histories, ${insufficient} of them insufficient`,
      );
      return false;
    }
    const { fault, seed, binaryLog, problems } = proof;
    const first = problems.find((problem) => problem.includes("\n")) ?? problems[0] ?? "";
    say(
      `caught    ${mutant.name} (${mutant.rule}): history ${histories}, ${fault}, binlog ${binaryLog ? "on" : "off"}, seed ${seed}\n            ${first.split("\n")[0]}`,
    );
    return true;
  } finally {
    copy.remove();
  }
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

function options(): { names: readonly string[]; most: number } | undefined {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: { histories: { type: "string", default: "60" } },
    });
    const most = Number(values.histories);
    if (!(Number.isInteger(most) && most >= 1 && most <= 10_000)) {
      throw new RangeError("--histories must be between 1 and 10000");
    }
    return { names: positionals, most };
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n${USAGE}`);
    process.exitCode = 2;
    return undefined;
  }
}

const chosen = options();
if (chosen !== undefined) {
  const mutants = readdirSync(FOLDER)
    .filter((file) => file.endsWith(".patch"))
    .map((file) => readMutant(join(FOLDER, file)))
    .filter(({ name }) => chosen.names.length === 0 || chosen.names.some((part) => name.includes(part)));
  let caught = 0;
  for (const mutant of mutants) {
    if (interrupted) break;
    if (await judge(mutant, chosen.most)) caught++;
  }
  say(`${caught} of ${mutants.length} mutants caught`);
  if (interrupted) process.exitCode = 130;
  else if (caught < mutants.length || mutants.length === 0) process.exitCode = 1;
}
