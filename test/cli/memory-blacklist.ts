import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type BlacklistRequest,
  BlacklistResult_Outcome as Outcome,
} from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { invalidRequest } from "../../src/errors.ts";
import type { Script } from "../client/scripted-service.ts";
import { NOW } from "./run-cli.ts";

/** An in-memory blacklist that evaluates expiries as the service does, without leeway, with as many violations. */
export class MemoryBlacklist {
  readonly entries = new Map<string, { expiresAt: number; reason: string }>();
  /** The number of tokens in each Blacklist, refused ones included. */
  readonly sizes: number[] = [];
  readonly #latest: number;

  constructor({ latest = Number.POSITIVE_INFINITY }: { latest?: number } = {}) {
    this.#latest = latest;
  }

  readonly script: Script = {
    blacklist: (request) => this.blacklist(request),
    list: ({ pageSize, pageToken }) => {
      const all = [...this.entries];
      const start = Number(pageToken);
      const end = start + Math.min(pageSize, 1000);
      const tokens = all.slice(start, end).map(([jti, { expiresAt, reason }]) => ({
        jti,
        reason,
        expiresAt: timestampFromMs(expiresAt),
        createdAt: timestampFromMs(NOW),
      }));
      return { tokens, nextPageToken: end < all.length ? String(end) : "" };
    },
  };

  blacklist({ tokens }: BlacklistRequest) {
    this.sizes.push(tokens.length);
    const read = tokens.map(({ token, expiresAt, reason }) => ({
      jti: token.value as string,
      reason,
      expiresAt: Number(expiresAt?.seconds) * 1000 + Math.ceil(Number(expiresAt?.nanos) / 1e6),
    }));
    const violations = read.flatMap(({ expiresAt }, index) => {
      const field = `tokens[${index}].expires_at`;
      if (expiresAt <= NOW) return [{ field, description: "has passed", reason: "EXPIRY_PASSED" }];
      return expiresAt > this.#latest ? [{ field, description: "must not expire further ahead" }] : [];
    });
    if (violations.length > 0) throw invalidRequest(violations);
    const results = read.map(({ jti, expiresAt, reason }) => {
      const outcome = this.#store(jti, expiresAt, reason);
      return { token: { jti, reason, expiresAt: timestampFromMs(expiresAt) }, outcome };
    });
    return { results, revision: "7-r" };
  }

  #store(jti: string, expiresAt: number, reason: string): Outcome {
    const there = this.entries.get(jti);
    if (there !== undefined && there.expiresAt >= expiresAt) return Outcome.ALREADY_BLACKLISTED;
    this.entries.set(jti, { expiresAt, reason: there?.reason ?? reason });
    return there === undefined ? Outcome.CREATED : Outcome.EXTENDED;
  }
}
