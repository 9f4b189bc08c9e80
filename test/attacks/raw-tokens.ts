import { create, toBinary } from "@bufbuild/protobuf";
import { BlacklistRequestSchema } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { framed, Http2Connection } from "../support/http2-call.ts";

export interface RawTokensExtent {
  /** The total number of requests, and how many at once. */
  readonly requests?: number;
  readonly atOnce?: number;
  /** Raw tokens in each. */
  readonly tokens?: number;
}

/**
 * Sends Blacklist requests full of one raw token, which the service has to verify each time. `authorization` is the credential of a caller
 * with the role revoke. Resolves with the number of requests by status.
 */
export async function rawTokens(
  address: string,
  { authorization, jwt }: { authorization: string; jwt: string },
  { requests = 100, atOnce = 10, tokens = 1000 }: RawTokensExtent = {},
): Promise<Readonly<Record<string, number>>> {
  const token = { token: { case: "jwt" as const, value: jwt } };
  const request = create(BlacklistRequestSchema, { tokens: Array.from({ length: tokens }, () => token) });
  const body = framed(toBinary(BlacklistRequestSchema, request));
  const counts: Record<string, number> = {};
  const http2 = await Http2Connection.open(address);
  let left = requests;
  const one = async () => {
    while (left-- > 0) {
      const { code = "none" } = await http2.send("/tokenblacklist.v1.TokenBlacklist/Blacklist", body, {
        authorization,
      });
      counts[code] = (counts[code] ?? 0) + 1;
    }
  };
  try {
    await Promise.all(Array.from({ length: atOnce }, one));
  } finally {
    await http2.close();
  }
  return counts;
}
