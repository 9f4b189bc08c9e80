/** Build information. */
export interface Build {
  readonly version: string;
  /** The version of Node.js. */
  readonly node: string;
  /** The version of the database schema that this build uses. */
  readonly schema: number;
}
