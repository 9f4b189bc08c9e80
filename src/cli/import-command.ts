import { open } from "node:fs/promises";
import type { Readable } from "node:stream";
import type { Command } from "commander";
import { MAX_REASON_BYTES } from "../limits.ts";
import {
  BatchImporter,
  COUNT_NAMES,
  hasRawToken,
  type ImportCounts,
  type ImportedBatch,
  NO_COUNTS,
  storedCount,
  sumOf,
} from "./batch-importer.ts";
import { EXIT, UsageError } from "./errors.ts";
import { ImportCheckpoint, type ImportProgress, remainingItems } from "./import-checkpoint.ts";
import { type ImportItem, InputDigest, readImportItems } from "./import-items.ts";
import type { CommandContext } from "./io.ts";
import { operatorCommand, type RowOptions } from "./operator-command.ts";
import { textUpTo } from "./option-parsers.ts";
import { OutageRetry } from "./retry.ts";
import { type Column, formatOption, rowWriter } from "./row-writer.ts";
import type { Session } from "./session.ts";
import { BatchFailures, inBatches, MAX_BATCHES_IN_FLIGHT, orderedMap } from "./token-batches.ts";

const HELP = `
One JSON object per line, as written by export, or with only a jti and an
expiry. All of these are accepted:
  {"jti": "...", "expires_at": "2030-01-31T12:00:00Z", "reason": "..."}
  {"jti": "...", "expires_at": 1900000000}
  {"jti": "...", "exp": 1900000000}
Numbers are epoch seconds, as in a token; milliseconds are rejected. created_at
and revoked_by are ignored: an entry is created now, by the caller.

Invalid lines are reported and skipped, and the exit code is then 2. Tokens that
have already expired are skipped and counted.

A checkpoint (default: FILE.import) records the progress, and is deleted in the
end. Repeating is safe with and without it: an expiry is only ever extended.

Examples:
  token-blacklist import blacklist.ndjson
  token-blacklist import blacklist.ndjson --resume
  gunzip -c blacklist.ndjson.gz | token-blacklist import - --reason "moved"
`;

interface ImportOptions extends RowOptions {
  readonly reason?: string;
  readonly ignoreUnknown?: boolean;
  readonly checkpoint?: string;
  readonly resume?: boolean;
}

export function addImportCommand(program: Command, context: CommandContext): void {
  const command = program
    .command("import")
    .summary("revoke all tokens in a file")
    .description("Revokes the tokens listed in a file, such as one written by export.")
    .argument("<file>", "the file, or - for standard input")
    .option("--reason <text>", "the reason for lines without one", textUpTo(MAX_REASON_BYTES))
    .option("--ignore-unknown", "ignore unknown fields")
    .option("--checkpoint <file>", "the file that records the progress")
    .option("--resume", "resume after the last completed line of an interrupted import")
    .addOption(formatOption())
    .addHelpText("after", HELP);
  operatorCommand<ImportOptions>(command, context, {
    timeout: "30s",
    run: (session, options, [file = ""]) => importTokens(session, options, file),
  });
}

/** The maximum number of refused lines that are reported one by one, and of lines with raw tokens. Further lines are only counted. */
const MAX_REPORTED_LINES = 100;

const COLUMNS: readonly Column<ImportCounts>[] = COUNT_NAMES.map((name) => ({
  title: name.replaceAll("_", " "),
  text: (counts) => String(counts[name]),
}));

/** Resolves to the exit code. */
async function importTokens(session: Session, options: ImportOptions, path: string): Promise<number> {
  const { io } = session;
  const checkpointPath = options.checkpoint ?? (path === "-" ? undefined : `${path}.import`);
  if (options.resume && checkpointPath === undefined)
    throw new UsageError("--resume from standard input needs the --checkpoint of the interrupted import");
  const done = options.resume ? await ImportCheckpoint.read(checkpointPath as string) : NO_PROGRESS;
  const input = path === "-" ? io.stdin : await openInput(path);
  try {
    const checkpoint =
      checkpointPath === undefined
        ? undefined
        : await ImportCheckpoint.open(checkpointPath, { clock: io.clock, progress: done });
    const { counts, failures } = await importAll(session, options, { input, done, checkpoint });
    const { exitCode: failureCode, changedNothing } = failures;
    if (failureCode === undefined && counts.lines === 0) {
      await checkpoint?.remove();
      throw new UsageError(
        `${path === "-" ? "standard input" : path} contains no lines: nothing was imported`,
      );
    }
    const hasProgressed = counts.lines > done.counts.lines;
    if (failureCode !== undefined && !hasProgressed) {
      await checkpoint?.keep();
      session.note(nothingImported({ changedNothing, isResumable: done.line > 0 }));
      return failureCode;
    }
    const rows = rowWriter({ session, format: options.output, columns: COLUMNS });
    await rows.write([counts]);
    await rows.end();
    if (failureCode === undefined) {
      await checkpoint?.remove();
      return counts.refused > 0 ? EXIT.usage : EXIT.ok;
    }
    await checkpoint?.keep();
    session.note(howToContinue(counts, checkpointPath));
    return failureCode;
  } finally {
    input.destroy();
  }
}

const NO_PROGRESS: ImportProgress = { line: 0, digest: "", counts: NO_COUNTS };

async function openInput(path: string): Promise<Readable> {
  try {
    const handle = await open(path);
    // A directory can be opened; only reading it would fail.
    if ((await handle.stat()).isDirectory()) {
      await handle.close();
      throw Object.assign(new Error(), { code: "EISDIR" });
    }
    return handle.createReadStream({ highWaterMark: 256 * 1024 });
  } catch (error) {
    throw new UsageError(
      `${path || "a file without a name"} cannot be read (${(error as NodeJS.ErrnoException).code})`,
    );
  }
}

interface Import {
  readonly input: Readable;
  /** The progress of the interrupted import that is resumed. */
  readonly done: ImportProgress;
  readonly checkpoint: ImportCheckpoint | undefined;
}

/** One batch in flight, and the digest of all lines up to the last line of the batch. */
interface Batch {
  readonly items: readonly ImportItem[];
  readonly digest: string;
}

async function importAll(
  session: Session,
  { reason = "", ignoreUnknown = false }: ImportOptions,
  { input, done, checkpoint }: Import,
): Promise<{ counts: ImportCounts; failures: BatchFailures }> {
  const { io } = session;
  const progress = session.progress("imported", { printsRows: false });
  const importer = new BatchImporter({ session, outageRetry: new OutageRetry(io), reason });
  const digest = new InputDigest();
  const items = remainingItems(readImportItems(input, { ignoreUnknown }), { done, digest, importer });
  const batches = withDigests(inBatches(items, io.clock), digest);
  let { counts } = done;
  const failures = new BatchFailures(session);
  let refusedCount = 0;
  let rawTokenCount = 0;
  for await (const result of orderedMap(batches, MAX_BATCHES_IN_FLIGHT, (batch) =>
    importBatch(importer, batch),
  )) {
    if ("error" in result) {
      failures.add({ error: result.error });
      continue;
    }
    const { input: batch, output } = result;
    for (const { line, problem } of output.refused) {
      if (refusedCount++ < MAX_REPORTED_LINES) session.note(`error: line ${line}: ${problem}`);
    }
    for (const line of rawTokensIn(batch.items)) {
      if (rawTokenCount++ < MAX_REPORTED_LINES) session.note(`warning: line ${line}: "jti" ${RAW_TOKEN}`);
    }
    counts = sumOf(counts, { ...output.counts, lines: batch.items.length });
    progress.add(batch.items.length);
    // After a failed batch, not all lines before this one are done.
    const line = batch.items.at(-1)?.line;
    if (failures.exitCode === undefined && line !== undefined)
      await checkpoint?.record({ line, digest: batch.digest, counts });
  }
  if (refusedCount > MAX_REPORTED_LINES)
    session.note(`error: and ${refusedCount - MAX_REPORTED_LINES} more invalid lines`);
  if (rawTokenCount > MAX_REPORTED_LINES)
    session.note(`warning: and ${rawTokenCount - MAX_REPORTED_LINES} more lines with raw tokens`);
  progress.clear();
  return { counts, failures };
}

/** Such a line is imported nevertheless, so that a copy of a blacklist has the same entries. */
const RAW_TOKEN =
  "is a raw token, which an older version accepted as a jti. Its entry revokes nothing: revoke the token with blacklist --jwt";

function rawTokensIn(items: readonly ImportItem[]): number[] {
  return items.flatMap((item) => ("token" in item && hasRawToken(item) ? [item.line] : []));
}

async function* withDigests(
  batches: AsyncIterable<readonly ImportItem[]>,
  digest: InputDigest,
): AsyncGenerator<Batch> {
  for await (const items of batches) {
    digest.add(items);
    yield { items, digest: digest.value };
  }
}

async function importBatch(importer: BatchImporter, { items }: Batch): Promise<ImportedBatch> {
  const invalid = items.filter((item) => "problem" in item);
  const { counts, refused } = await importer.importItems(items.filter((item) => "token" in item));
  const all = [...invalid.map(({ line, problem }) => ({ line, problem })), ...refused];
  return { counts: { ...counts, refused: all.length }, refused: all.sort((a, b) => a.line - b.line) };
}

/** The message if no further line is certainly done. */
function nothingImported(setup: { changedNothing: boolean; isResumable: boolean }): string {
  const again = setup.isResumable ? "Continue with --resume" : "Repeat the command";
  if (setup.changedNothing) return `Nothing was imported. ${again} once the cause is fixed.`;
  return `It is not certain whether anything was stored. ${again}: that is safe.`;
}

function howToContinue(counts: ImportCounts, checkpointPath: string | undefined): string {
  const stored = `At least ${storedCount(counts)} tokens are stored.`;
  return checkpointPath === undefined
    ? `${stored} Repeating the command is safe.`
    : `${stored} Continue with --resume, or repeat the command: both are safe.`;
}
