import { escapeForTerminal } from "../text/terminal-text.ts";
import { displayWidth } from "./display-width.ts";
import type { Output } from "./output.ts";
import type { RowWriter } from "./row-writer.ts";

export interface Column<Row> {
  readonly title: string;
  /** The text of the cell. It may be untrusted; the table escapes it. */
  text(row: Row): string;
  /** The colour, as the parameter of an SGR sequence. Used only if colours are enabled. */
  colour?(row: Row): number;
}

const GAP = "  ";

/** Prints aligned columns. Rows are aligned as they arrive, and a column only grows wider. */
export class TableWriter<Row> implements RowWriter<Row> {
  readonly #output: Output;
  readonly #columns: readonly Column<Row>[];
  readonly #colours: boolean;
  readonly #widths: number[];
  #headed = false;

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
    const head = this.#headed ? "" : this.#line(this.#columns.map(({ title }) => title.toUpperCase()));
    this.#headed = true;
    return this.#output.write(head + lines.map((cells, index) => this.#line(cells, rows[index])).join(""));
  }

  end(): Promise<void> {
    return Promise.resolve();
  }

  #line(cells: readonly string[], row?: Row): string {
    const last = cells.length - 1;
    const padded = cells.map((cell, index) => {
      const colour = row === undefined || !this.#colours ? undefined : this.#columns[index]?.colour?.(row);
      const shown = colour === undefined ? cell : `\x1b[${colour}m${cell}\x1b[0m`;
      return index === last ? shown : shown + " ".repeat((this.#widths[index] ?? 0) - displayWidth(cell));
    });
    return `${padded.join(GAP)}\n`;
  }
}
