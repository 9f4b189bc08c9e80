import { formatReport, type Report } from "../report.ts";
import { sizingTables } from "./sizing.ts";

/** A shorter run shows only that the bench works. */
const ENOUGH = { rounds: 3, seconds: 0.5 };

/** `make plots` writes the text between these markers. */
const PARTS = {
  run,
  sizing: sizingTables,
  figures: (report: Report) => `\`\`\`text\n${formatReport(report)}\`\`\`\n`,
};

function run({ machine, options }: Report): string {
  const { node, cpu, cpus, mariadb } = machine;
  const { rounds, seconds } = options;
  const what = `Measured with Node ${node} and MariaDB ${mariadb ?? "unknown"} on ${cpus} x ${cpu}: medians of ${rounds} round${rounds === 1 ? "" : "s"} of ${seconds} s.\n`;
  return rounds < ENOUGH.rounds || seconds < ENOUGH.seconds
    ? `${what}\n> **A trial run**, too short for its figures to be believed, and beside other work. Size nothing by them.\n`
    : what;
}

/** The page with its generated parts renewed. Throws if the page has no place for one of them. */
export function withCapacity(page: string, report: Report): string {
  let written = page;
  for (const [name, make] of Object.entries(PARTS)) {
    const begin = `<!-- ${name}: written by make plots -->\n`;
    const end = `<!-- end of ${name} -->\n`;
    const from = written.indexOf(begin);
    const to = written.indexOf(end);
    if (from === -1 || to < from) throw new RangeError(`the page has no place for "${name}"`);
    written = `${written.slice(0, from + begin.length)}\n${make(report)}\n${written.slice(to)}`;
  }
  return written;
}
