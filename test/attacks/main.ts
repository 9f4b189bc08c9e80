import { commandLine } from "../support/command-line.ts";
import { figuresOfRuns } from "./figures.ts";
import { type Options, readOptions, USAGE } from "./options.ts";
import { play } from "./play.ts";
import { formatFigures, formatHead } from "./report.ts";

async function run({ attacks, beside, seconds, json }: Options, signal: AbortSignal): Promise<void> {
  const builds = [
    ...(beside === undefined ? [] : [{ build: "other", main: beside }]),
    { build: "this", main: undefined },
  ];
  if (!json) process.stdout.write(`${formatHead()}\n`);
  let missed = 0;
  for (const attack of attacks) {
    for (const { build, main } of builds) {
      const once = () => play(attack, { share: 1, forMs: seconds * 1000 }, { main, signal });
      let figures = await once();
      if (build === "this" && figures.misses.length > 0) {
        figures = figuresOfRuns([figures, await once(), await once()]);
      }
      process.stdout.write(
        `${json ? JSON.stringify({ build, ...figures }) : formatFigures(figures, build)}\n`,
      );
      if (build === "this" && figures.misses.length > 0) missed++;
    }
  }
  if (!json) process.stdout.write(`\n${attacks.length} attacks, ${missed} missed\n`);
  if (missed > 0) process.exitCode = 1;
}

const command = commandLine(readOptions, USAGE);
if (command !== undefined) {
  const { options, signal } = command;
  await run(options, signal).catch((error: unknown) => {
    if (!signal.aborted) throw error;
    process.exitCode = 130;
  });
}
