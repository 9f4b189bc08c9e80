import { Verdict } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { createRpcClient } from "../../src/client/rpc-client.ts";

const BATCH = 1000;

/** Those of `jtis` that a fully fresh check at `address` does not report as blacklisted. */
export async function lostTokens(address: string, jtis: readonly string[]): Promise<string[]> {
  const client = createRpcClient({ address });
  const lost: string[] = [];
  try {
    for (let from = 0; from < jtis.length; from += BATCH) {
      const batch = jtis.slice(from, from + BATCH);
      const { verdicts } = await client.isBlacklisted({ jtis: batch });
      lost.push(...batch.filter((_, index) => verdicts[index] !== Verdict.BLACKLISTED));
    }
    return lost;
  } finally {
    client.close();
  }
}
