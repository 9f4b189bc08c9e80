import { type Command, Option } from "commander";
import type { BlacklistedToken, ListResponse } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { malformedAnswer } from "../client/client-error.ts";
import { SeenPageTokens } from "../client/listing.ts";
import { MAX_PAGE_SIZE } from "../limits.ts";
import { terminalJson } from "../text/terminal-text.ts";
import { EXIT, UsageError } from "./errors.ts";
import { ExportFile } from "./export-file.ts";
import type { CommandContext } from "./io.ts";
import {
  addListFilter,
  type ListFilter,
  type ListFilterOptions,
  listFilter,
  reasonForNone,
  warnOfLikelyMistakes,
} from "./list-filter.ts";
import { type OperatorOptions, operatorCommand } from "./operator-command.ts";
import { OutageRetry } from "./retry.ts";
import type { Session } from "./session.ts";
import { tokenRow } from "./token-row.ts";

const FILTERS = ["includeExpired", "createdAfter", "createdBefore", "revokedBy", "jti"];

const HELP = `
One JSON object per line, most recently revoked first:
  {"jti": "...", "expires_at": "2030-01-31T12:00:00.000Z", "created_at": "...",
   "reason": "...", "revoked_by": "..."}

Entries created during the export may be missing. An entry that exists
throughout is written exactly once.

With --output, the export is written to FILE.part, and its state, for --resume,
to FILE.part.state; FILE.part is renamed to FILE when it is complete. An outage
of the service of less than a minute only delays the export.

Examples:
  token-blacklist export --output blacklist.ndjson
  token-blacklist export --output blacklist.ndjson --resume
  token-blacklist export | gzip > blacklist.ndjson.gz
`;

interface ExportOptions extends OperatorOptions, ListFilterOptions {
  readonly output?: string;
  readonly resume?: boolean;
}

export function addExportCommand(program: Command, context: CommandContext): void {
  const now = context.io.clock.now();
  const command = program
    .command("export")
    .summary("write all entries to a file")
    .description("Writes the entries of the blacklist, for a backup or for another service.")
    .option("--output <file>", "the file to write (default: standard output)")
    .addOption(new Option("--resume", "resume an interrupted export, with its filters").conflicts(FILTERS))
    .addHelpText("after", HELP);
  operatorCommand<ExportOptions>(addListFilter(command, now), context, { timeout: "10s", run: exportTokens });
}

/** Receives the pages. */
interface PageSink {
  /** `count` is the number of entries so far, including the entries in `text`. */
  write(text: string, page: { readonly nextPageToken: string; readonly count: number }): Promise<void>;
}

/** Resolves to the exit code. */
async function exportTokens(session: Session, options: ExportOptions): Promise<number> {
  const { output: path, resume = false } = options;
  warnOfLikelyMistakes(options, session);
  if (path === undefined || path === "-") {
    if (resume) throw new UsageError("--resume needs --output, the file of the interrupted export");
    return exportToStandardOutput(session, listFilter(options));
  }
  const file = resume
    ? await ExportFile.resume(path, session.io.clock)
    : await ExportFile.create(path, { filter: listFilter(options), clock: session.io.clock });
  try {
    const count = await exportPages(session, { ...file.position, sink: file });
    await file.finish();
    reportCount(session, count, file.position.filter);
    return EXIT.ok;
  } catch (error) {
    const code = session.report(error);
    if (await file.discardIfEmpty()) return code;
    await file.close();
    session.note(`${file.position.count} entries are in ${path}.part: continue with --resume.`);
    return code;
  }
}

async function exportToStandardOutput(session: Session, filter: ListFilter): Promise<number> {
  const { output } = session;
  const sink = { write: (text: string) => output.write(text) };
  const count = await exportPages(session, { filter, pageToken: "", count: 0, sink });
  if (output.isClosed) {
    // A partial backup must not look like a complete one.
    session.note("error: standard output was closed before all entries were written");
    return EXIT.failed;
  }
  reportCount(session, count, filter);
  return EXIT.ok;
}

/** An empty export may be a mistake, so it is reported even if standard error is not a terminal. */
function reportCount(session: Session, count: number, filter: ListFilter): void {
  if (count === 0)
    session.note(`There were no entries to export${reasonForNone(filter, session.io.clock.now())}`);
  else session.noteOnTerminal(`${count} entries were exported.`);
}

interface PagesToExport {
  readonly filter: ListFilter;
  /** The token of the first page to fetch; null if no page is left. */
  readonly pageToken: string | null;
  /** The number of entries that were written before. */
  readonly count: number;
  readonly sink: PageSink;
}

/** Writes page after page, each while the next page is fetched. Returns the number of entries, including entries exported before a resumption. */
async function exportPages(
  session: Session,
  { filter, pageToken, count, sink }: PagesToExport,
): Promise<number> {
  const { client, callOptions, output, io } = session;
  // Not shown while standard output is a terminal, where it would mix with the rows.
  const progress = session.progress("exported", { printsRows: true });
  const outageRetry = new OutageRetry(io);
  /** Begins to fetch a page. The returned function resolves to the page, and fetches it again after an outage. */
  const startFetch = (token: string) => {
    const list = () => client.list({ ...filter, pageSize: MAX_PAGE_SIZE, pageToken: token }, callOptions);
    let first: Promise<ListResponse> | undefined = list();
    // A failure is handled once the previous page has been written.
    first.catch(() => {});
    return () =>
      outageRetry.run(() => {
        const page = first ?? list();
        first = undefined;
        return page;
      });
  };
  const pageTokens = new SeenPageTokens(pageToken ?? "");
  let total = count;
  let next = pageToken === null ? undefined : startFetch(pageToken);
  while (next !== undefined && !output.isClosed) {
    const { tokens, nextPageToken } = await next();
    // Throws for a token that was sent before. An empty token: this was the last page.
    next = pageTokens.accept(nextPageToken) === "" ? undefined : startFetch(nextPageToken);
    total += tokens.length;
    await sink.write(tokens.map(lineOf).join(""), { nextPageToken, count: total });
    progress.add(tokens.length);
  }
  return total;
}

function lineOf(token: BlacklistedToken): string {
  if (token.jti === "" || token.expiresAt === undefined)
    throw malformedAnswer("the service sent an entry without jti or expiry");
  return `${terminalJson(tokenRow(token))}\n`;
}
