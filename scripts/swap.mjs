// SPDX-License-Identifier: Apache-2.0
// node scripts/swap.mjs NEW TARGET
// Replaces the folder TARGET, which need not exist, by the folder NEW, and then deletes the old folder. Both must be on one file
// system. TARGET is never a mixture, and is missing only for the time of a rename.
import { mkdtempSync, renameSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";

/** Errors of a rename to an existing name: a folder that is not empty, a file, or a link. */
const TAKEN = ["ENOTEMPTY", "EEXIST", "ENOTDIR"];

const [fresh, target] = process.argv.slice(2).map((path) => resolve(path));
const attic = mkdtempSync(`${target}.old-`);
// Needs several rounds if another process swaps at the same time; its folder is then replaced.
for (let round = 0; !rename(fresh, target, TAKEN); round++)
  rename(target, join(attic, `${round}`), ["ENOENT"]);
rmSync(attic, { recursive: true });

/** Returns false for an error in `expected`; throws any other error. */
function rename(from, to, expected) {
  try {
    renameSync(from, to);
    return true;
  } catch (error) {
    if (expected.includes(error.code)) return false;
    throw error;
  }
}
