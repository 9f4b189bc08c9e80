import { constants } from "node:fs";
import { type FileHandle, open, rename, rm } from "node:fs/promises";

/** Who may read what was revoked, and why, is for the operator to widen. */
const MODE = 0o600;
// Windows knows neither, and has no such links in folders that everybody may write to.
const { O_NOFOLLOW = 0, O_NONBLOCK = 0 } = constants as Partial<typeof constants>;

/**
 * Makes a new file for this user alone. Throws EEXIST where anything has its name, a link to nowhere too: in a folder that others may write
 * to, such as /tmp, a link that somebody else has put there would have us write to a file of their choice.
 */
export function createPrivateFile(path: string): Promise<FileHandle> {
  return open(path, "wx", MODE);
}

/** Opens a file that was made so. Throws ELOOP at a link, and ENOTSUP at what is no file: neither was made here. */
export async function openPrivateFile(path: string, access: "read" | "read and write"): Promise<FileHandle> {
  const flags = access === "read" ? constants.O_RDONLY : constants.O_RDWR;
  // Without waiting for the other end of a pipe that stands there.
  const handle = await open(path, flags | O_NOFOLLOW | O_NONBLOCK);
  if ((await handle.stat()).isFile()) return handle;
  await handle.close();
  throw Object.assign(new Error(`${path} is not a file`), { code: "ENOTSUP" });
}

/** The text of a file that was made so. */
export async function readPrivateFile(path: string): Promise<string> {
  const handle = await openPrivateFile(path, "read");
  try {
    return await handle.readFile("utf8");
  } finally {
    await handle.close();
  }
}

/**
 * Puts a file with `text` in the place of what is at `path`, as one step. Where that is a link the link itself is replaced, and what it leads
 * to is left alone. What is at {@link freshOf}, which is used on the way, may be left from a process that was killed.
 */
export async function replacePrivateFile(path: string, text: string): Promise<void> {
  const fresh = freshOf(path);
  await rm(fresh, { force: true });
  const handle = await createPrivateFile(fresh);
  try {
    await handle.writeFile(text);
  } finally {
    await handle.close();
  }
  await rename(fresh, path);
}

/** Where {@link replacePrivateFile} writes before the file takes its name. */
export function freshOf(path: string): string {
  return `${path}.new`;
}
