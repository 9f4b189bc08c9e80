import { BlacklistResult_Outcome, TokenBlacklist } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import type { Contestant } from "../contestant.ts";
import type { GrpcProcess } from "../stage/launch.ts";
import type { Stage } from "../stage/stage.ts";
import { freshJti, probes } from "../tokens.ts";

/** Calls the service, whose database works for it, or the server that only does gRPC. */
export function overGrpc<T>(
  { service, bare, database }: Stage,
  make: (name: string, process: GrpcProcess, pids: readonly number[]) => T,
): [ours: T, bare: T] {
  return [
    make("TokenBlacklist", service, [service.pid, database.pid]),
    make("bare gRPC method", bare, [bare.pid]),
  ];
}

export function check(size: number) {
  return (name: string, { client }: GrpcProcess, pids: readonly number[]): Contestant => {
    const isBlacklisted = client.method(TokenBlacklist.method.isBlacklisted);
    const next = probes(size);
    return {
      name,
      pids,
      async call() {
        const { verdicts } = await isBlacklisted({ jtis: next() as string[] });
        if (verdicts.length !== size || verdicts.includes(0))
          throw new Error(`${name} answered in part only`);
      },
    };
  };
}

/** Revokes `size` tokens per call. */
export function revoke(size: number) {
  return (name: string, { client }: GrpcProcess, pids: readonly number[]): Contestant => {
    const blacklist = client.method(TokenBlacklist.method.blacklist);
    const expiresAt = { seconds: BigInt(Math.floor(Date.now() / 1000) + 86_400), nanos: 0 };
    return {
      name,
      pids,
      async call() {
        const { results } = await blacklist({
          tokens: Array.from({ length: size }, () => ({
            token: { case: "jti" as const, value: freshJti() },
            expiresAt,
            reason: "logout",
          })),
        });
        const created = results.filter(({ outcome }) => outcome === BlacklistResult_Outcome.CREATED);
        if (created.length !== size) throw new Error(`${name} did not create all entries`);
      },
    };
  };
}
