import { execFile } from "node:child_process";
import { chmod, chown, cp, mkdir, readFile, symlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { expect } from "chai";
import { Copy, DockerfileParser, From, type Instruction, JSONInstruction, Workdir } from "dockerfile-ast";
import { freshFolder } from "../support/shared.ts";

/** The content and configuration of an image, built without a container engine on this system with this Node.js. */
export interface EmulatedImage {
  /** The folder that stands for its root. */
  readonly root: string;
  /** The working directory, below `root`. */
  readonly folder: string;
  readonly env: Readonly<Record<string, string>>;
  readonly user: string;
  /** The arguments of Node.js. */
  readonly entrypoint: readonly string[];
  readonly command: readonly string[];
  readonly healthcheck: readonly string[];
}

/** The image's path of Node.js. */
const NODE = "/nodejs/bin/node";

interface Stage {
  readonly root: string;
  folder: string;
}

/**
 * Executes the Dockerfile in `context`, each stage in its own folder. The base images are missing, so RUN
 * uses this system. Throws at an unknown instruction.
 */
export async function emulateImage(context: string): Promise<EmulatedImage> {
  const instructions = DockerfileParser.parse(
    await readFile(join(context, "Dockerfile"), "utf8"),
  ).getInstructions();
  const sent = await namesSent(context);
  const stages = new Map<string, Stage>();
  const image = {
    env: {} as Record<string, string>,
    user: "",
    entrypoint: [] as readonly string[],
    command: [] as readonly string[],
    healthcheck: [] as readonly string[],
  };
  let stage: Stage | undefined;
  const current = (): Stage => {
    if (stage === undefined) throw new Error("the Dockerfile does not begin with FROM");
    return stage;
  };
  for (const instruction of instructions) {
    const keyword = instruction.getKeyword();
    if (instruction instanceof From) {
      const root = await freshFolder();
      stage = { root, folder: root };
      stages.set(instruction.getBuildStage() ?? "", stage);
    } else if (instruction instanceof Workdir) {
      stage = current();
      stage.folder = join(stage.root, instruction.getPath() ?? "");
      await mkdir(stage.folder, { recursive: true });
    } else if (instruction instanceof Copy) {
      await copy(instruction, current(), { stages, context, sent });
    } else if (keyword === "RUN")
      await run(instruction.getRawArgumentsContent() ?? "", current().folder, context);
    else if (keyword === "ENV") {
      for (const pair of argumentsOf(instruction)) {
        const [name = "", value = ""] = pair.split(/=(.*)/s);
        image.env[name] = value;
      }
    } else if (keyword === "USER") image.user = argumentsOf(instruction).join(" ");
    else if (keyword === "ENTRYPOINT") image.entrypoint = ofNode(instruction);
    else if (keyword === "CMD") image.command = listed(instruction);
    else if (keyword === "HEALTHCHECK") image.healthcheck = ofNode(instruction);
    else if (!["ARG", "LABEL", "EXPOSE", "STOPSIGNAL"].includes(keyword))
      throw new Error(`what is ${keyword}?`);
  }
  return { ...current(), ...image };
}

async function run(command: string, folder: string, context: string): Promise<void> {
  // The build tools are those that make has installed from the same list. The shipped packages are installed separately.
  if (/^npm ci (?!.*--omit)/.test(command)) {
    return symlink(join(context, "node_modules"), join(folder, "node_modules"));
  }
  const env = { ...process.env, npm_config_prefer_offline: "true", npm_config_update_notifier: "false" };
  await promisify(execFile)("sh", ["-c", command], { cwd: folder, env });
}

async function copy(
  instruction: Copy,
  stage: Stage,
  { stages, context, sent }: { stages: ReadonlyMap<string, Stage>; context: string; sent: readonly string[] },
): Promise<void> {
  const paths = argumentsOf(instruction);
  const target = paths.pop() ?? "";
  const flags = new Map(instruction.getFlags().map((flag) => [flag.getName(), flag.getValue() ?? ""]));
  const from = flags.get("from");
  const origin = from === undefined ? context : stages.get(from)?.root;
  if (origin === undefined) throw new Error(`there is no stage ${from}`);
  for (const path of paths) {
    if (from === undefined) expect(sent, `${path} is kept back by .dockerignore`).to.include(path);
    const destination = target.endsWith("/") ? join(target, path) : target;
    const copied = join(stage.folder, destination);
    await mkdir(dirname(copied), { recursive: true });
    await cp(join(origin, path), copied, { recursive: true });
    const owner = flags.get("chown");
    if (owner !== undefined && process.getuid?.() === 0) {
      const [uid, gid] = owner.split(":").map(Number);
      await chown(copied, uid as number, gid as number);
    } else if (owner !== undefined) await chmod(copied, 0o755);
  }
}

/** The names that .dockerignore includes; it excludes everything else. */
async function namesSent(context: string): Promise<string[]> {
  const lines = (await readFile(join(context, ".dockerignore"), "utf8")).split("\n");
  const rules = lines.filter((line) => line !== "" && !line.startsWith("#"));
  expect(rules[0], ".dockerignore").to.equal("*");
  return rules.slice(1).map((rule) => {
    expect(rule, ".dockerignore").to.match(/^![^*]+$/);
    return rule.slice(1);
  });
}

function argumentsOf(instruction: Instruction): string[] {
  // Including the flags of COPY.
  return instruction
    .getArguments()
    .map((argument) => argument.getValue())
    .filter((value) => !value.startsWith("--"));
}

function listed(instruction: Instruction): string[] {
  // A list, because the image has no shell.
  if (!(instruction instanceof JSONInstruction)) throw new Error(`${instruction.getKeyword()} is no list`);
  return instruction.getJSONStrings().map((text) => JSON.parse(text.getValue()));
}

function ofNode(instruction: Instruction): string[] {
  const text = instruction.getRawArgumentsContent() ?? "";
  const [program, ...rest] = JSON.parse(text.slice(text.indexOf("["))) as string[];
  expect(program).to.equal(NODE);
  return rest;
}
