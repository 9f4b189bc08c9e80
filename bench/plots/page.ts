import { formatReport, type Report } from "../report.ts";
import { sizingTables } from "./sizing.ts";

/** What stands between these is written by `make plots`. */
const PARTS = {
  sizing: sizingTables,
  figures: (report: Report) => `\`\`\`text\n${formatReport(report)}\`\`\`\n`,
};

/** The page with its generated parts made anew. Throws where one of them has no place in it. */
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
