// SPDX-License-Identifier: Apache-2.0
// node scripts/swap.mjs NEW TARGET
// Puts the folder NEW in the place of the folder TARGET, which need not exist, and then deletes what stood there. Both are on one
// file system. TARGET is never half of each, and not away for longer than it takes to rename a folder.
import { mkdtempSync, renameSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";

/** What renaming to a name that is taken fails with: by a folder that is not empty, or by a file or a link. */
const TAKEN = ["ENOTEMPTY", "EEXIST", "ENOTDIR"];

const [fresh, target] = process.argv.slice(2).map((path) => resolve(path));
const attic = mkdtempSync(`${target}.old-`);
// More than one round where somebody else swaps at the same time: then theirs is replaced.
for (let round = 0; !rename(fresh, target, TAKEN); round++)
  rename(target, join(attic, `${round}`), ["ENOENT"]);
rmSync(attic, { recursive: true });

/** False where it fails with one of `expected`; throws where it fails with anything else. */
function rename(from, to, expected) {
  try {
    renameSync(from, to);
    return true;
  } catch (error) {
    if (expected.includes(error.code)) return false;
    throw error;
  }
}
