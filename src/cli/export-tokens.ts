import type { BlacklistedToken, ListResponse } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { malformedAnswer } from "../client/client-error.ts";
import { PageTokens } from "../client/listing.ts";
import { MAX_PAGE_SIZE } from "../limits.ts";
import { terminalJson } from "../text/terminal-text.ts";
import { EXIT } from "./exit-code.ts";
import { ExportFile } from "./export-file.ts";
import {
  type ListFilter,
  type ListFilterOptions,
  listFilter,
  reasonForNone,
  warnOfLikelyMistakes,
} from "./list-filter.ts";
import type { OperatorOptions } from "./operator-command.ts";
import { OutageRetry } from "./retry.ts";
import type { Session } from "./session.ts";
import { tokenRow } from "./token-row.ts";
import { UsageError } from "./usage-error.ts";

export interface ExportOptions extends OperatorOptions, ListFilterOptions {
  readonly output?: string;
  readonly resume?: boolean;
}

/** Receives the pages. */
interface PageSink {
  /** `count` is the number of entries so far, those in `text` included. */
  write(text: string, page: { readonly nextPageToken: string; readonly count: number }): Promise<void>;
}

/** Resolves to the exit code. */
export async function exportTokens(session: Session, options: ExportOptions): Promise<number> {
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
    const code = session.fail(error);
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
  if (output.closed) {
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
  else session.remark(`${count} entries were exported.`);
}

interface PagesToExport {
  readonly filter: ListFilter;
  /** The token of the first page to fetch; null if none is left. */
  readonly pageToken: string | null;
  /** The number of entries that were written before. */
  readonly count: number;
  readonly sink: PageSink;
}

/** Writes page after page, each while the next one is fetched. Returns the number of entries, earlier ones included. */
async function exportPages(
  session: Session,
  { filter, pageToken, count, sink }: PagesToExport,
): Promise<number> {
  const { client, callOptions, output, io } = session;
  const progress = session.progress("exported", { printsRows: true });
  const outageRetry = new OutageRetry(io);
  const fetch = (token: string): PageInFlight => {
    const answer = client.list({ ...filter, pageSize: MAX_PAGE_SIZE, pageToken: token }, callOptions);
    // A failure is handled once the page before has been written.
    answer.catch(() => {});
    return { token, answer };
  };
  const pageTokens = new PageTokens(pageToken ?? "");
  let total = count;
  let next = pageToken === null ? undefined : fetch(pageToken);
  while (next !== undefined && !output.closed) {
    const { tokens, nextPageToken } = await received(next, { outageRetry, fetch });
    next = pageTokens.accept(nextPageToken) === "" ? undefined : fetch(nextPageToken);
    total += tokens.length;
    await sink.write(tokens.map(lineOf).join(""), { nextPageToken, count: total });
    progress.add(tokens.length);
  }
  return total;
}

/** A page that is being fetched. */
interface PageInFlight {
  readonly token: string;
  readonly answer: Promise<ListResponse>;
}

/** The page, once it has arrived. It is fetched again after an outage. */
function received(
  page: PageInFlight,
  { outageRetry, fetch }: { outageRetry: OutageRetry; fetch: (token: string) => PageInFlight },
): Promise<ListResponse> {
  let current: PageInFlight | undefined = page;
  return outageRetry.run(() => {
    const { answer } = current ?? fetch(page.token);
    current = undefined;
    return answer;
  });
}

function lineOf(token: BlacklistedToken): string {
  if (token.jti === "" || token.expiresAt === undefined)
    throw malformedAnswer("the service sent an entry without jti or expiry");
  return `${terminalJson(tokenRow(token))}\n`;
}
