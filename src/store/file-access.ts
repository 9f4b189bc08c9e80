import { closeSync, existsSync, mkdirSync, openSync, statSync } from "node:fs";
import { dirname } from "node:path";

/** What SQLite puts beside a database, with the same permissions as the database has. */
const SUFFIXES = ["", "-wal", "-shm", "-journal"];
const FOLDER_MODE = 0o700;
const FILE_MODE = 0o600;
/** Permissions of the group and of everybody else. */
const OTHERS = 0o077;

/**
 * Makes the file of an embedded database, empty, and its folder, where they are missing, for this user alone: it tells what was revoked and
 * why, and whoever can write to it can undo that. Leaves alone what is there. Throws as `node:fs` does.
 */
export function createPrivately(filename: string): void {
  const folder = dirname(filename);
  // One level: a path that is wrong further up is a mistake, not a wish for folders.
  if (!existsSync(folder)) mkdirSync(folder, { mode: FOLDER_MODE });
  // SQLite itself would make it as the process's umask says, mostly for everybody to read.
  if (!existsSync(filename)) closeSync(openSync(filename, "a", FILE_MODE));
}

/** The files of an embedded database that other users than its owner may read or write, as `PATH (MODE)`. */
export function filesOpenToOthers(filename: string): string[] {
  return SUFFIXES.flatMap((suffix) => {
    const path = `${filename}${suffix}`;
    const mode = statSync(path, { throwIfNoEntry: false })?.mode ?? 0;
    return (mode & OTHERS) === 0 ? [] : [`${path} (0${(mode & 0o777).toString(8)})`];
  });
}
