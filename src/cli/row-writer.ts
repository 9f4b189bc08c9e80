/** Prints rows as they arrive. */
export interface RowWriter<Row> {
  write(rows: readonly Row[]): Promise<void>;
  /** Call it after the last row, also if a failure ended the rows early. */
  end(): Promise<void>;
}
