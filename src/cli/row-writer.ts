import { Option } from "commander";
import { escapeForTerminal, terminalJson } from "../text/terminal-text.ts";
import type { CliIo, Output } from "./io.ts";

const FORMATS = ["table", "json", "ndjson"] as const;
export type Format = (typeof FORMATS)[number];

/** The option --output of commands that print rows. */
export function formatOption(): Option {
  return new Option("--output <format>", "output format").choices(FORMATS).default("table");
}

/** Prints rows as they arrive. */
export interface RowWriter<Row> {
  write(rows: readonly Row[]): Promise<void>;
  /** Call it after the last row, also if a failure ended the rows early. */
  end(): Promise<void>;
}

export interface Column<Row> {
  readonly title: string;
  /** The text of the cell. It may be untrusted; the table escapes it. */
  text(row: Row): string;
  /** The colour, as the parameter of an SGR sequence. Used only if colours are enabled. */
  colour?(row: Row): number;
}

export interface RowWriterSetup<Row> {
  readonly session: { readonly io: CliIo; readonly output: Output };
  readonly format: Format;
  readonly columns: readonly Column<Row>[];
}

/** A row is the object printed as JSON; `columns` define what a table shows of it. */
export function rowWriter<Row>({ session, format, columns }: RowWriterSetup<Row>): RowWriter<Row> {
  const { io, output } = session;
  switch (format) {
    case "table":
      return new TableWriter(output, columns, { colours: output.isTerminal && wantsColour(io.env) });
    case "ndjson":
      return {
        write: (rows) => output.write(rows.map((row) => `${terminalJson(row)}\n`).join("")),
        end: () => Promise.resolve(),
      };
    case "json":
      return new JsonWriter(output);
  }
}

/** Prints one array piece by piece. */
class JsonWriter<Row> implements RowWriter<Row> {
  readonly #output: Output;
  #hasBegun = false;

  constructor(output: Output) {
    this.#output = output;
  }

  write(rows: readonly Row[]): Promise<void> {
    if (rows.length === 0) return Promise.resolve();
    const start = this.#hasBegun ? ",\n" : "[\n";
    this.#hasBegun = true;
    return this.#output.write(start + rows.map((row) => `  ${terminalJson(row)}`).join(",\n"));
  }

  end(): Promise<void> {
    return this.#output.write(this.#hasBegun ? "\n]\n" : "[]\n");
  }
}

// https://no-color.org
function wantsColour({ NO_COLOR, TERM }: CliIo["env"]): boolean {
  return !NO_COLOR && TERM !== "dumb";
}

const GAP = "  ";

/** Prints aligned columns. Rows are aligned as they arrive, and a column only grows wider. */
class TableWriter<Row> implements RowWriter<Row> {
  readonly #output: Output;
  readonly #columns: readonly Column<Row>[];
  readonly #colours: boolean;
  readonly #widths: number[];
  #hasHeader = false;

  constructor(output: Output, columns: readonly Column<Row>[], { colours }: { colours: boolean }) {
    this.#output = output;
    this.#columns = columns;
    this.#colours = colours;
    this.#widths = columns.map(({ title }) => title.length);
  }

  write(rows: readonly Row[]): Promise<void> {
    if (rows.length === 0) return Promise.resolve();
    const lines = rows.map((row) =>
      this.#columns.map((column) => escapeForTerminal(column.text(row)) || "-"),
    );
    for (const cells of lines) {
      for (const [index, cell] of cells.entries()) {
        this.#widths[index] = Math.max(this.#widths[index] ?? 0, displayWidth(cell));
      }
    }
    const head = this.#hasHeader ? "" : this.#line(this.#columns.map(({ title }) => title.toUpperCase()));
    this.#hasHeader = true;
    return this.#output.write(head + lines.map((cells, index) => this.#line(cells, rows[index])).join(""));
  }

  end(): Promise<void> {
    return Promise.resolve();
  }

  #line(cells: readonly string[], row?: Row): string {
    const last = cells.length - 1;
    const padded = cells.map((cell, index) => {
      const colour = row === undefined || !this.#colours ? undefined : this.#columns[index]?.colour?.(row);
      const coloured = colour === undefined ? cell : `\x1b[${colour}m${cell}\x1b[0m`;
      return index === last
        ? coloured
        : coloured + " ".repeat((this.#widths[index] ?? 0) - displayWidth(cell));
    });
    return `${padded.join(GAP)}\n`;
  }
}

// East Asian Wide and Fullwidth, by block: precise enough to align a column.
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6\u{1f300}-\u{1f64f}\u{1f680}-\u{1f6ff}\u{1f900}-\u{1f9ff}\u{1fa70}-\u{1faff}\u{20000}-\u{3fffd}]/u;
const COMBINING = /[\p{Mn}\p{Me}]/u;

/** How many terminal columns `text` takes. It must not contain control characters. */
function displayWidth(text: string): number {
  if (/^[ -~]*$/.test(text)) return text.length;
  let width = 0;
  for (const character of text) {
    if (!COMBINING.test(character)) width += WIDE.test(character) ? 2 : 1;
  }
  return width;
}
