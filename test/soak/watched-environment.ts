/** The environment of a process that writes its memory in use to `file` after each collection, in bytes. */
export function watchedEnvironment(file: string): Record<string, string> {
  return {
    NODE_OPTIONS: `--import ${new URL("live-memory.mjs", import.meta.url).href}`,
    SOAK_LIVE_MEMORY: file,
  };
}
