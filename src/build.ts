/** Which program this is. */
export interface Build {
  readonly version: string;
  /** Node.js's version. */
  readonly node: string;
  /** The level of the database's schema that it knows. */
  readonly schema: number;
}
