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
      return tableWriter(output, columns, { colours: output.isTerminal && wantsColour(io.env) });
    case "ndjson":
      return {
        write: (rows) => output.write(rows.map((row) => `${terminalJson(row)}\n`).join("")),
        end: () => Promise.resolve(),
      };
    case "json":
      return jsonWriter(output);
  }
}

/** Prints one array piece by piece. */
function jsonWriter<Row>(output: Output): RowWriter<Row> {
  let hasBegun = false;
  return {
    write(rows) {
      if (rows.length === 0) return Promise.resolve();
      const start = hasBegun ? ",\n" : "[\n";
      hasBegun = true;
      return output.write(start + rows.map((row) => `  ${terminalJson(row)}`).join(",\n"));
    },
    end: () => output.write(hasBegun ? "\n]\n" : "[]\n"),
  };
}

// https://no-color.org
function wantsColour({ NO_COLOR, TERM }: CliIo["env"]): boolean {
  return !NO_COLOR && TERM !== "dumb";
}

const GAP = "  ";

/** Prints aligned columns. Rows are aligned as they arrive, and a column only grows wider. */
function tableWriter<Row>(
  output: Output,
  columns: readonly Column<Row>[],
  { colours }: { colours: boolean },
): RowWriter<Row> {
  const widths = columns.map(({ title }) => title.length);
  let hasHeader = false;

  function line(cells: readonly string[], row?: Row): string {
    const last = cells.length - 1;
    const padded = cells.map((cell, index) => {
      const colour = row === undefined || !colours ? undefined : columns[index]?.colour?.(row);
      const coloured = colour === undefined ? cell : `\x1b[${colour}m${cell}\x1b[0m`;
      return index === last ? coloured : coloured + " ".repeat((widths[index] ?? 0) - displayWidth(cell));
    });
    return `${padded.join(GAP)}\n`;
  }

  return {
    write(rows) {
      if (rows.length === 0) return Promise.resolve();
      const lines = rows.map((row) => columns.map((column) => escapeForTerminal(column.text(row)) || "-"));
      for (const cells of lines) {
        for (const [index, cell] of cells.entries()) {
          widths[index] = Math.max(widths[index] ?? 0, displayWidth(cell));
        }
      }
      const head = hasHeader ? "" : line(columns.map(({ title }) => title.toUpperCase()));
      hasHeader = true;
      return output.write(head + lines.map((cells, index) => line(cells, rows[index])).join(""));
    },
    end: () => Promise.resolve(),
  };
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
