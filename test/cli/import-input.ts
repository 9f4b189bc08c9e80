import { NOW } from "./run-cli.ts";

export const HOUR = 3_600_000;
export const IN_AN_HOUR = (NOW + HOUR) / 1000;

interface Row {
  readonly lines: number;
  readonly created: number;
  readonly already_blacklisted: number;
  readonly extended: number;
  readonly expired: number;
  readonly refused: number;
}

export const row = (counts: Partial<Row>): Row => ({
  ...{ lines: 0, created: 0, already_blacklisted: 0, extended: 0, expired: 0, refused: 0 },
  ...counts,
});

export function rowOf(stdout: string): Row {
  return JSON.parse(stdout) as Row;
}

export const line = (jti: string, exp: number = IN_AN_HOUR) => JSON.stringify({ jti, exp });
export const lines = (count: number, from = 0) =>
  Array.from({ length: count }, (_, index) => `${line(`jti-${from + index}`)}\n`).join("");

export const IMPORT = ["import", "-", "--output", "ndjson"];
