/** What a process has to be started with so that it writes to `file` what it holds after each collection, in bytes. */
export function watchedEnvironment(file: string): Record<string, string> {
  return {
    NODE_OPTIONS: `--import ${new URL("live-memory.mjs", import.meta.url).href}`,
    SOAK_LIVE_MEMORY: file,
  };
}
