import { type Command, Option } from "commander";
import { SeenPageTokens } from "../client/listing.ts";
import type { EpochMs } from "../entry.ts";
import { MAX_PAGE_SIZE } from "../limits.ts";
import { EXIT } from "./errors.ts";
import type { CommandContext } from "./io.ts";
import {
  addListFilter,
  type ListFilterOptions,
  listFilter,
  reasonForNone,
  warnOfLikelyMistakes,
} from "./list-filter.ts";
import { operatorCommand, type RowOptions } from "./operator-command.ts";
import { positiveInteger } from "./option-parsers.ts";
import { type Column, formatOption, type RowWriter, rowWriter } from "./row-writer.ts";
import type { Session } from "./session.ts";
import { type TokenRow, timeWithDistance, tokenRow } from "./token-row.ts";

const HELP = `
<when> is a time (2030-01-31T12:00:00Z), epoch seconds (1900000000), or how long
ago (1h: an hour ago). All filters must match.

A table shows times in UTC to the second, and escapes invisible characters in
jtis and reasons. --output json and ndjson print exact values.

Examples:
  token-blacklist list
  token-blacklist list --created-after 1h
  token-blacklist list --jti 3f2b8c10 --include-expired
  token-blacklist list --all --output ndjson > blacklist.ndjson
`;

/** About as many entries as fit on a screen. */
const DEFAULT_LIMIT = 40;

interface ListOptions extends RowOptions, ListFilterOptions {
  readonly limit: number;
  readonly all?: boolean;
}

export function addListCommand(program: Command, context: CommandContext): void {
  const now = context.io.clock.now();
  const command = program
    .command("list")
    .summary("show which tokens were revoked, when and why")
    .description("Lists the entries of the blacklist, most recently revoked first.")
    .option("--limit <count>", "show at most this many", positiveInteger, DEFAULT_LIMIT)
    .addOption(new Option("--all", "show all entries").conflicts("limit"))
    .addOption(formatOption())
    .addHelpText("after", HELP);
  operatorCommand<ListOptions>(addListFilter(command, now), context, {
    timeout: "10s",
    run: (session, options) => listTokens(session, options, now),
  });
}

/** Resolves to the exit code. Stops when the reader of the output has closed it. */
async function listTokens(session: Session, options: ListOptions, now: EpochMs): Promise<number> {
  const rows = rowWriter({ session, format: options.output, columns: columnsAt(now) });
  try {
    warnOfLikelyMistakes(options, session);
    const { shown, more } = await printPages(session, options, rows);
    if (shown === 0) session.note(`No entries${reasonForNone(options, now)}`);
    if (more) session.note(`There are more than these ${shown}: see --limit and --all.`);
    return EXIT.ok;
  } finally {
    await rows.end();
  }
}

async function printPages(
  session: Session,
  options: ListOptions,
  rows: RowWriter<TokenRow>,
): Promise<{ shown: number; more: boolean }> {
  const { client, callOptions, output } = session;
  const limit = options.all ? Number.POSITIVE_INFINITY : options.limit;
  const progress = session.progress("listed", { printsRows: true });
  const filter = listFilter(options);
  let shown = 0;
  const pageTokens = new SeenPageTokens();
  let pageToken = "";
  for (;;) {
    // One entry more than is shown tells whether there are more.
    const pageSize = Math.min(limit - shown + 1, MAX_PAGE_SIZE);
    const page = await client.list({ ...filter, pageSize, pageToken }, callOptions);
    const wanted = page.tokens.slice(0, limit - shown);
    await rows.write(wanted.map(tokenRow));
    shown += wanted.length;
    progress.add(wanted.length);
    if (page.tokens.length > wanted.length) return { shown, more: true };
    if (page.nextPageToken === "" || output.isClosed) return { shown, more: false };
    pageToken = pageTokens.accept(page.nextPageToken);
  }
}

function columnsAt(now: EpochMs): Column<TokenRow>[] {
  return [
    { title: "jti", text: ({ jti }) => jti },
    { title: "expires", text: ({ expires_at }) => timeWithDistance(expires_at, now) },
    { title: "created", text: ({ created_at }) => timeWithDistance(created_at, now) },
    { title: "revoked by", text: ({ revoked_by }) => revoked_by },
    { title: "reason", text: ({ reason }) => reason },
  ];
}
