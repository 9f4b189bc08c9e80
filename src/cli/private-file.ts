import { constants } from "node:fs";
import { type FileHandle, open, rename, rm } from "node:fs/promises";

/** The files list revoked tokens and the reasons. Whether other users may read them is for the operator to decide. */
const MODE = 0o600;
// Windows has neither flag. It does not need them: there, other users cannot plant links in a shared folder.
const { O_NOFOLLOW = 0, O_NONBLOCK = 0 } = constants as Partial<typeof constants>;

/**
 * Creates a new file for this user alone. Throws EEXIST if the name exists, even as a dangling link: in a folder that others may
 * write to, such as /tmp, another user's link would make this process write to a file of that user's choice.
 */
export function createPrivateFile(path: string): Promise<FileHandle> {
  return open(path, "wx", MODE);
}

/**
 * Opens a file made by {@link createPrivateFile}. Throws ELOOP for a link, and another error, such as ENOTSUP, for anything else but a regular
 * file.
 */
export async function openPrivateFile(path: string, access: "read" | "read and write"): Promise<FileHandle> {
  const flags = access === "read" ? constants.O_RDONLY : constants.O_RDWR;
  // Does not block on a named pipe.
  const handle = await open(path, flags | O_NOFOLLOW | O_NONBLOCK);
  if ((await handle.stat()).isFile()) return handle;
  await handle.close();
  throw Object.assign(new Error(`${path} is not a file`), { code: "ENOTSUP" });
}

/** The text of a file made by {@link createPrivateFile}. */
export async function readPrivateFile(path: string): Promise<string> {
  const handle = await openPrivateFile(path, "read");
  try {
    return await handle.readFile("utf8");
  } finally {
    await handle.close();
  }
}

/**
 * Atomically replaces the file at `path` with a file that contains `text`. If `path` is a link, the link is replaced and its target is
 * left alone. The temporary file at {@link temporaryPathOf} may be left over from a process that was killed; it is replaced.
 */
export async function replacePrivateFile(path: string, text: string): Promise<void> {
  const fresh = temporaryPathOf(path);
  await rm(fresh, { force: true });
  const handle = await createPrivateFile(fresh);
  try {
    await handle.writeFile(text);
  } finally {
    await handle.close();
  }
  await rename(fresh, path);
}

/** The path of the temporary file of {@link replacePrivateFile}. */
export function temporaryPathOf(path: string): string {
  return `${path}.new`;
}
