import { type CheckOptions, checkTokens } from "./check-tokens.ts";
import { readJwt } from "./jwt-input.ts";
import type { Session } from "./session.ts";
import { UsageError } from "./usage-error.ts";

/** Checks the jti of the token that --jwt names. Resolves to the exit code. */
export async function checkJwt(
  session: Session,
  options: CheckOptions & { readonly jwt: string },
  jtis: readonly string[],
): Promise<number> {
  const token = await readJwt({ source: options.jwt, jtis, stdin: session.io.stdin });
  const jti = await jtiIn(token);
  session.note(
    "The token was decoded, not verified: the result applies to its jti, and does not say whether the token is genuine.",
  );
  return checkTokens(session, options, [{ jti, origin: "the token" }]);
}

/** Throws a UsageError that quotes nothing of the token. */
async function jtiIn(token: string): Promise<string> {
  // Imported here, because no other command needs these modules.
  const { InvalidTokenError, unverifiedClaims } = await import("../auth/verify.ts");
  const { validJti } = await import("../auth/claims.ts");
  try {
    const { jti } = unverifiedClaims(token);
    if (jti === undefined) throw new InvalidTokenError("has no jti: it cannot be blacklisted");
    return validJti(jti);
  } catch (error) {
    if (error instanceof InvalidTokenError) throw new UsageError(`the token ${error.message}`);
    throw error;
  }
}
