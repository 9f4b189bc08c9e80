import { escapedJson } from "../text/terminal-text.ts";
import type { CliIo, Output } from "./io.ts";
import { type Column, type RowWriter, TableWriter } from "./table.ts";

export const FORMATS = ["table", "json", "ndjson"] as const;
export type Format = (typeof FORMATS)[number];

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
        write: (rows) => output.write(rows.map((row) => `${escapedJson(row)}\n`).join("")),
        end: () => Promise.resolve(),
      };
    case "json":
      return new JsonWriter(output);
  }
}

/** Prints one array piece by piece. */
class JsonWriter<Row> implements RowWriter<Row> {
  readonly #output: Output;
  #begun = false;

  constructor(output: Output) {
    this.#output = output;
  }

  write(rows: readonly Row[]): Promise<void> {
    if (rows.length === 0) return Promise.resolve();
    const start = this.#begun ? ",\n" : "[\n";
    this.#begun = true;
    return this.#output.write(start + rows.map((row) => `  ${escapedJson(row)}`).join(",\n"));
  }

  end(): Promise<void> {
    return this.#output.write(this.#begun ? "\n]\n" : "[]\n");
  }
}

// https://no-color.org
function wantsColour({ NO_COLOR, TERM }: CliIo["env"]): boolean {
  return !NO_COLOR && TERM !== "dumb";
}
