import {
  type BlacklistResponse,
  BlacklistResult_Outcome as Outcome,
} from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import type { EpochMs } from "../entry.ts";
import type { Column } from "./table.ts";
import { timeWithDistance } from "./time-text.ts";
import { type TokenRow, tokenRow } from "./token-row.ts";

interface BlacklistRow extends TokenRow {
  readonly outcome: string;
  readonly revision: string;
}

export function blacklistColumns(now: EpochMs): Column<BlacklistRow>[] {
  return [
    { title: "jti", text: ({ jti }) => jti },
    { title: "outcome", text: ({ outcome }) => outcome.replaceAll("_", " ") },
    { title: "expires", text: ({ expires_at }) => timeWithDistance(expires_at, now) },
  ];
}

export function blacklistRows({ results, revision }: BlacklistResponse): BlacklistRow[] {
  return results.map(({ token, outcome }) => ({
    // The client has checked that it is present.
    ...tokenRow(token as NonNullable<typeof token>),
    outcome: Outcome[outcome].toLowerCase(),
    revision,
  }));
}
