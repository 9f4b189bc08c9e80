import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Context } from "mocha";
import { parseAllDocuments, stringify } from "yaml";

export const CHART = fileURLToPath(new URL("../../deploy/helm/token-blacklist", import.meta.url));
/** Where scripts/install-test-tools.sh builds the stand-in for Helm. */
const RENDERER = fileURLToPath(new URL("../../node_modules/.cache/render-chart", import.meta.url));

export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string };
}

/** The chart's manifests with these values. Throws with the templates' error. */
export type Render = (values: object) => Manifest[];

/** Rendered by Helm, or else by a stand-in. Skips the suite, with a title that says why, if neither is installed. */
export function chartRenderer(context: Context): Render {
  const command = helm() ?? standIn();
  if (command === undefined) {
    const skipped = context.currentTest ?? context.test;
    if (skipped !== undefined) skipped.title += " (needs helm, which is not installed)";
    context.skip();
  }
  return (values) => {
    const [program, ...args] = command;
    const text = execFileSync(program, args, { input: stringify(values), encoding: "utf8", stdio: "pipe" });
    const documents = parseAllDocuments(text, { version: "1.1", merge: true });
    return [...documents].flatMap((document) => {
      const [problem] = [...document.errors, ...document.warnings];
      if (problem !== undefined) throw problem;
      const manifest = document.toJS() as Manifest | null;
      return manifest === null ? [] : [manifest];
    });
  };
}

type Command = readonly [program: string, ...args: string[]];

function helm(): Command | undefined {
  const folders = (process.env.PATH ?? "").split(delimiter);
  const program = folders.map((folder) => join(folder, "helm")).find((path) => existsSync(path));
  if (program === undefined) return undefined;
  return [program, "template", "trial", CHART, "--namespace", "blacklist", "--values", "-"];
}

function standIn(): Command | undefined {
  return existsSync(RENDERER) ? [RENDERER, CHART, "trial", "blacklist"] : undefined;
}
