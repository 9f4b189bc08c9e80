import type { BlacklistedToken, ListResponse } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { malformedAnswer } from "../client/client-error.ts";
import { PageTokens } from "../client/page-tokens.ts";
import { MAX_PAGE_SIZE } from "../limits.ts";
import { printableJson } from "../printable.ts";
import { EXIT } from "./exit-code.ts";
import { ExportFile } from "./export-file.ts";
import {
  becauseOf,
  type ListFilter,
  type ListFilterOptions,
  listFilter,
  warnOfSlips,
} from "./list-filter.ts";
import type { CallingOptions } from "./operator-command.ts";
import { Persistence } from "./persistence.ts";
import type { Session } from "./session.ts";
import { tokenRow } from "./token-row.ts";
import { UsageError } from "./usage-error.ts";

export interface ExportOptions extends CallingOptions, ListFilterOptions {
  readonly output?: string;
  readonly resume?: boolean;
}

/** Where a page goes. */
interface Sink {
  write(text: string, page: { readonly nextPageToken: string; readonly count: number }): Promise<void>;
}

/** Resolves to the exit code. */
export async function exportTokens(session: Session, options: ExportOptions): Promise<number> {
  const { output: path, resume = false } = options;
  warnOfSlips(options, session);
  if (path === undefined || path === "-") {
    if (resume) throw new UsageError("--resume needs the file that was begun: name it with --output");
    return toStandardOutput(session, listFilter(options));
  }
  const file = resume
    ? await ExportFile.resume(path, session.io.clock)
    : await ExportFile.create(path, { filter: listFilter(options), clock: session.io.clock });
  try {
    const count = await exportPages(session, { ...file.position, sink: file });
    await file.finish();
    conclude(session, count, file.position.filter);
    return EXIT.ok;
  } catch (error) {
    const code = session.fail(error);
    if (await file.discardIfEmpty()) return code;
    await file.leave();
    session.note(`${file.position.count} entries are in ${path}.part: go on with --resume.`);
    return code;
  }
}

async function toStandardOutput(session: Session, filter: ListFilter): Promise<number> {
  const { output } = session;
  const sink = { write: (text: string) => output.write(text) };
  const count = await exportPages(session, { filter, pageToken: "", count: 0, sink });
  if (output.closed) {
    // Half of a backup must not read like a whole one.
    session.note("error: the reader of standard output left before everything was written");
    return EXIT.failed;
  }
  conclude(session, count, filter);
  return EXIT.ok;
}

/** An empty export may be a mistake, so it is told to those who do not look on, too. */
function conclude(session: Session, count: number, filter: ListFilter): void {
  if (count === 0)
    session.note(`There were no entries to export${becauseOf(filter, session.io.clock.now())}`);
  else session.remark(`${count} entries were exported.`);
}

interface Pages {
  readonly filter: ListFilter;
  /** Of the first page to fetch; null where there is none left. */
  readonly pageToken: string | null;
  /** Entries before it. */
  readonly count: number;
  readonly sink: Sink;
}

/** Writes page after page, each while the next is fetched. Returns how many entries there are with those before. */
async function exportPages(session: Session, { filter, pageToken, count, sink }: Pages): Promise<number> {
  const { client, call, output, io } = session;
  const progress = session.progress("exported", { rows: true });
  const persistence = new Persistence(io);
  const fetch = (token: string): Page => {
    const answer = client.list({ ...filter, pageSize: MAX_PAGE_SIZE, pageToken: token }, call);
    // Whether it failed is looked at once the page before is written.
    answer.catch(() => {});
    return { token, answer };
  };
  const pageTokens = new PageTokens(pageToken ?? "");
  let total = count;
  let next = pageToken === null ? undefined : fetch(pageToken);
  while (next !== undefined && !output.closed) {
    const { tokens, nextPageToken } = await arrived(next, { persistence, fetch });
    next = pageTokens.next(nextPageToken) === "" ? undefined : fetch(nextPageToken);
    total += tokens.length;
    await sink.write(tokens.map(line).join(""), { nextPageToken, count: total });
    progress.add(tokens.length);
  }
  return total;
}

/** A page on its way. */
interface Page {
  readonly token: string;
  readonly answer: Promise<ListResponse>;
}

/** Asks again where the first attempt failed. */
function arrived(
  page: Page,
  { persistence, fetch }: { persistence: Persistence; fetch: (token: string) => Page },
): Promise<ListResponse> {
  let current: Page | undefined = page;
  return persistence.run(() => {
    const { answer } = current ?? fetch(page.token);
    current = undefined;
    return answer;
  });
}

function line(token: BlacklistedToken): string {
  if (token.jti === "" || token.expiresAt === undefined)
    throw malformedAnswer("the service sent an entry without jti or expiry");
  return `${printableJson(tokenRow(token))}\n`;
}
