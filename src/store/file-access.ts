import { closeSync, existsSync, mkdirSync, openSync, statSync } from "node:fs";
import { dirname } from "node:path";

/** Suffixes of the files that SQLite keeps for a database, with the same permissions as the database file. */
const SUFFIXES = ["", "-wal", "-shm", "-journal"];
const FOLDER_MODE = 0o700;
const FILE_MODE = 0o600;
/** Permission bits of the group and of other users. */
const OTHERS = 0o077;

/**
 * Creates the file of an embedded database, empty, and its folder if they are missing, accessible to this user only: the file tells
 * what was revoked and why, and write access allows undoing a revocation. Leaves existing files alone. Throws as `node:fs` does.
 */
export function createPrivately(filename: string): void {
  const folder = dirname(filename);
  // One level only: a path with more missing folders is taken for a mistake.
  if (!existsSync(folder)) mkdirSync(folder, { mode: FOLDER_MODE });
  // SQLite would create the file with the process's umask, which mostly lets all users read it.
  if (!existsSync(filename)) closeSync(openSync(filename, "a", FILE_MODE));
}

/** The files of an embedded database that users other than the owner may read or write, as `PATH (MODE)`. */
export function filesOpenToOthers(filename: string): string[] {
  return SUFFIXES.flatMap((suffix) => {
    const path = `${filename}${suffix}`;
    const mode = statSync(path, { throwIfNoEntry: false })?.mode ?? 0;
    return (mode & OTHERS) === 0 ? [] : [`${path} (0${(mode & 0o777).toString(8)})`];
  });
}
