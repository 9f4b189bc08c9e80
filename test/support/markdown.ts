import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

export interface Page {
  /** Relative to the repository's root. */
  readonly path: string;
  readonly text: string;
}

/** All pages of the documentation. */
export function pages(): readonly Page[] {
  const below = ["docs", "deploy", "examples"].flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" }).map((name) => join(folder, name)),
  );
  return [...readdirSync(ROOT), ...below]
    .filter((path) => path.endsWith(".md") && !path.includes("node_modules"))
    .map((path) => ({ path, text: readFileSync(join(ROOT, path), "utf8") }));
}

/** The rows of every table whose header begins with these cells. */
export function tableRows(text: string, header: readonly string[]): string[][] {
  const rows: string[][] = [];
  let isInside = false;
  for (const line of text.split("\n")) {
    if (!line.startsWith("|")) {
      isInside = false;
      continue;
    }
    const cells = line
      .replace(/^\||\|$/g, "")
      .split(/(?<!\\)\|/)
      .map((cell) => cell.trim());
    if (header.every((name, at) => cells[at] === name)) isInside = true;
    else if (isInside && !/^-+$/.test(cells[0] ?? "")) rows.push(cells);
  }
  return rows;
}

/** A documented configuration with each of the `changes` made. Throws if a documented text does not occur exactly once. */
export function adapted(config: string, changes: Readonly<Record<string, string>>): string {
  return Object.entries(changes).reduce((text, [documented, ours]) => {
    const parts = text.split(documented);
    if (parts.length !== 2) throw new Error(`${JSON.stringify(documented)} occurs ${parts.length - 1} times`);
    return parts.join(ours);
  }, config);
}

/** The texts between backticks in a cell. */
export function codeIn(cell = ""): string[] {
  return [...cell.matchAll(/`([^`]*)`/g)].map(([, code = ""]) => code);
}
