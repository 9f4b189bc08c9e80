import type { BlacklistResponse } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import type { EpochMs } from "../entry.ts";
import { type BlacklistOptions, blacklistColumns, blacklistRows, consequence } from "./blacklist-tokens.ts";
import { EXIT } from "./exit-code.ts";
import { isCertainlyUndone } from "./explain-error.ts";
import { rowWriter } from "./format.ts";
import { readJwt } from "./jwt-input.ts";
import type { Session } from "./session.ts";

/** Revokes the token that --jwt names; its jti and expiry are taken from the token. Resolves to the exit code. */
export async function blacklistJwt(
  session: Session,
  { jwt, reason = "", output }: BlacklistOptions & { readonly jwt: string },
  { jtis, now }: { jtis: readonly string[]; now: EpochMs },
): Promise<number> {
  const value = await readJwt({ source: jwt, jtis, stdin: session.io.stdin });
  const rows = rowWriter({ session, format: output, columns: blacklistColumns(now) });
  let answer: BlacklistResponse | undefined;
  let code: number = EXIT.ok;
  try {
    const token = { token: { case: "jwt", value } as const, reason };
    answer = await session.client.blacklist({ tokens: [token] }, session.call);
  } catch (error) {
    code = session.fail(error, ["the token"]);
    session.note(consequence(0, isCertainlyUndone(error)));
    if (await hasNoExpiry(value)) {
      session.note(
        "A token without exp, such as an offline token, is revoked by its jti: token-blacklist blacklist --expires-at <when> -- JTI",
      );
    }
  }
  if (answer !== undefined) await rows.write(blacklistRows(answer));
  await rows.end();
  return code;
}

/** Also false if the claims cannot be read. */
async function hasNoExpiry(token: string): Promise<boolean> {
  // Imported here, because no other command needs this module.
  const { unverifiedClaims } = await import("../auth/verify.ts");
  try {
    return unverifiedClaims(token).exp === undefined;
  } catch {
    return false;
  }
}
