import type { RpcClient } from "../../src/client/rpc-client.ts";

/** An expiry later than the end of any test. */
export const YEAR_2100 = { seconds: 4_102_444_800n, nanos: 0 };

/** Blacklists these jtis until 2100 with one call, which waits for a slow database. Resolves with the revision. */
export async function revoke(
  { client }: { readonly client: RpcClient },
  ...jtis: readonly string[]
): Promise<string> {
  const tokens = jtis.map((value) => ({ token: { case: "jti" as const, value }, expiresAt: YEAR_2100 }));
  return (await client.blacklist({ tokens }, { timeoutMs: 20_000 })).revision;
}
