/** The options of a test program, and a signal that is aborted by Ctrl-C or SIGTERM. */
export interface CommandLine<Options> {
  readonly options: Options;
  readonly signal: AbortSignal;
}

/** Parses the arguments of this process. Undefined after printing the problem with them, with exit code 2. */
export function commandLine<Options>(
  parse: (args: readonly string[]) => Options,
  usage: string,
): CommandLine<Options> | undefined {
  const interrupted = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => interrupted.abort());
  try {
    return { options: parse(process.argv.slice(2)), signal: interrupted.signal };
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n${usage}`);
    process.exitCode = 2;
    return undefined;
  }
}
