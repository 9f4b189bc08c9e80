import type { Knex } from "knex";
import type { NewEntry } from "../entry.ts";
import type { CommitResult, ExpiryContext } from "./store.ts";

/** The differences between databases; everything else is in `knex-store.ts`. Throws as `Store` does. */
export interface Engine {
  /**
   * The pool for the schema, List and Prune. Writes, checks and the tail have connections of their own, so that they neither wait for a
   * connection of the pool nor spend time in Knex.
   */
  readonly knex: Knex;
  /** Whether opening the store migrates the schema; otherwise an operator runs `migrate up`. */
  readonly migratesOnOpen: boolean;
  /** SQL for the database's clock: whole milliseconds since 1970, UTC, independent of the session's time zone. */
  readonly clockSql: string;
  /** SQL that is 1 on a server that takes writes. */
  readonly writableSql: string;
  /** Tables whose storage engine has no transactions. */
  nonTransactionalTables(): Promise<readonly { readonly name: string; readonly engine: string }[]>;
  /** SQL that follows a table's name in a FROM clause, and makes the database read it by the index with this name. */
  useIndexSql(name: string): string;
  /**
   * Runs one SELECT on the connection reserved for checks; rows are arrays. The only values in `sql` are numbers and hexadecimal literals.
   */
  select(sql: string): Promise<readonly (readonly unknown[])[]>;

  /** Opens a connection for SELECTs that are run repeatedly; the database prepares each once. */
  openReader(): Reader;

  /**
   * Reconnects the connections for reads, at most once a second. Called when the server takes no writes: after a failover only a new
   * connection finds the server's successor.
   */
  renewReaders(): void;

  /** {@link Store.write} on the database of this generation. */
  write(entries: readonly NewEntry[], context: ExpiryContext, generation: string): Promise<CommitResult>;

  /** The error that `Store` throws: STORE_UNAVAILABLE if a retry may succeed, otherwise the error itself. */
  translate(error: unknown): unknown;

  close(): Promise<void>;
}

export interface Reader {
  /** Rows are arrays. `values` replace the question marks of `sql`. */
  select(sql: string, values: readonly (number | Uint8Array)[]): Promise<readonly (readonly unknown[])[]>;
  close(): void;
}

/** A column's bytes as text; the drivers use different types for them. */
export function text(value: unknown): string {
  return Buffer.from(value as Uint8Array).toString();
}

/** Text as an SQL literal of its bytes: the same in every dialect, and safe with any content. */
export function literal(value: string | Uint8Array): string {
  return `x'${Buffer.from(value as string).toString("hex")}'`;
}
