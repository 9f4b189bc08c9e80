/** Prints rows as they come. */
export interface RowWriter<Row> {
  write(rows: readonly Row[]): Promise<void>;
  /** After the last row, also when a failure ended the rows early. */
  end(): Promise<void>;
}
