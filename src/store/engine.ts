import type { Knex } from "knex";
import type { NewEntry } from "../entry.ts";
import type { Receipt, Terms } from "./store.ts";

/** What differs from one database to the next; everything else is `knex-store.ts`. Throws as `Store` does. */
export interface Engine {
  /** For statements that nobody's login waits for: schema, List, Prune. */
  readonly knex: Knex;
  /** Whether the schema is brought up to date on opening, or by an operator's `migrate up`. */
  readonly migratesOnOpen: boolean;
  /** SQL for the database's clock: whole milliseconds since 1970, UTC, whatever the session's time zone. */
  readonly clock: string;
  /** SQL that is 1 on a server that takes writes. */
  readonly writable: string;
  /** The storage engine of each table that may lose a commit, because it has no transactions; none on a sound database. */
  unsafeTables(): Promise<readonly { readonly name: string; readonly engine: string }[]>;
  /** SQL that makes a table of a FROM clause be read by the index of this name. */
  byIndex(name: string): string;
  /**
   * Runs one SELECT on the connection kept for checks; rows as arrays. `sql` holds no value but numbers and hexadecimal literals.
   */
  select(sql: string): Promise<readonly (readonly unknown[])[]>;

  /** A connection of its own that runs SELECTs again and again; the database prepares each once. */
  openReader(): Reader;

  /**
   * A server has said that it takes no writes: where another has taken its place, that is found by new connections only. Those for reads
   * are made anew, once a second at most.
   */
  renewReaders(): void;

  /** {@link Store.write} on the database of this generation. */
  write(entries: readonly NewEntry[], terms: Terms, generation: string): Promise<Receipt>;

  /** The error as `Store` throws it: unavailable where repeating may help, itself where it will not. */
  translate(error: unknown): unknown;

  close(): Promise<void>;
}

export interface Reader {
  /** Rows as arrays. `values` stand for the question marks of `sql`. */
  select(sql: string, values: readonly (number | Uint8Array)[]): Promise<readonly (readonly unknown[])[]>;
  close(): void;
}

/** A column's bytes as text; the drivers disagree on their type. */
export function text(value: unknown): string {
  return Buffer.from(value as Uint8Array).toString();
}

/** Text as an SQL literal of its bytes, the same in every dialect and safe whatever it holds. */
export function literal(value: string | Uint8Array): string {
  return `x'${Buffer.from(value as string).toString("hex")}'`;
}
