import { type Options, readOptions, USAGE } from "./options.ts";
import { play } from "./play.ts";
import { formatFigures, formatHead } from "./report.ts";

const interrupted = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => interrupted.abort());

/** The options; undefined after printing the problem with them. */
function options(): Options | undefined {
  try {
    return readOptions(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n${USAGE}`);
    process.exitCode = 2;
    return undefined;
  }
}

async function run({ attacks, beside, seconds, json }: Options): Promise<void> {
  const builds = [
    ...(beside === undefined ? [] : [{ build: "other", main: beside }]),
    { build: "this", main: undefined },
  ];
  if (!json) process.stdout.write(`${formatHead()}\n`);
  let missed = 0;
  for (const attack of attacks) {
    for (const { build, main } of builds) {
      const figures = await play(
        attack,
        { share: 1, forMs: seconds * 1000 },
        {
          main,
          signal: interrupted.signal,
        },
      );
      process.stdout.write(
        `${json ? JSON.stringify({ build, ...figures }) : formatFigures(figures, build)}\n`,
      );
      if (build === "this" && figures.misses.length > 0) missed++;
    }
  }
  if (!json) process.stdout.write(`\n${attacks.length} attacks, ${missed} missed\n`);
  if (missed > 0) process.exitCode = 1;
}

const chosen = options();
if (chosen !== undefined) {
  await run(chosen).catch((error: unknown) => {
    if (!interrupted.signal.aborted) throw error;
    process.exitCode = 130;
  });
}
