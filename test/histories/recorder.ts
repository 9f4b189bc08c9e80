import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { BlacklistResult_Outcome, Verdict } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { ClientError } from "../../src/client/client-error.ts";
import { now } from "./driver-clock.ts";
import type { Gateway } from "./gateway.ts";
import type { GatewayAnswer } from "./gateway-messages.ts";
import {
  type BlacklistCall,
  type CheckCall,
  type Freshness,
  type Interval,
  NO_REPLICA,
  type Operation,
} from "./history.ts";
import { LEEWAY_MS } from "./leeway.ts";
import type { Replica } from "./replica.ts";

const OUTCOMES = {
  [BlacklistResult_Outcome.CREATED]: "created",
  [BlacklistResult_Outcome.EXTENDED]: "extended",
  [BlacklistResult_Outcome.ALREADY_BLACKLISTED]: "already",
} as Record<BlacklistResult_Outcome, "created" | "extended" | "already">;

const VERDICTS = {
  [Verdict.BLACKLISTED]: "blacklisted",
  [Verdict.NOT_BLACKLISTED]: "not-blacklisted",
  [Verdict.UNKNOWN]: "unknown",
} as Record<Verdict, "blacklisted" | "not-blacklisted" | "unknown">;

/** Makes the calls of one history and records their results. */
export class Recorder {
  readonly operations: Operation[] = [];
  #started = 0;

  /** The number of calls begun, ended or not. */
  get started(): number {
    return this.#started;
  }

  /** Never rejects: failures are recorded. `validUntil`, in whole milliseconds, is when the entry may be forgotten. */
  async blacklist(
    replica: Replica,
    tokens: BlacklistCall["tokens"],
    { timeoutMs }: { timeoutMs: number },
  ): Promise<BlacklistCall> {
    const request = {
      tokens: tokens.map(({ jti, validUntil }) => ({
        token: { case: "jti" as const, value: jti },
        expiresAt: timestampFromMs(validUntil - LEEWAY_MS),
      })),
    };
    const { answer, ...call } = await this.#call(replica, () =>
      replica.client.blacklist(request, { timeoutMs }),
    );
    const results = answer?.results.map(({ token, outcome }) => ({
      outcome: OUTCOMES[outcome],
      validUntil: token?.expiresAt === undefined ? 0 : timestampMs(token.expiresAt) + LEEWAY_MS,
    }));
    return this.#note({
      kind: "blacklist",
      ...call,
      tokens,
      answer: results && { revision: answer?.revision ?? "", results },
    });
  }

  /** Never rejects: failures are recorded. */
  async check(
    replica: Replica,
    jtis: readonly string[],
    { freshness = { kind: "fresh" }, timeoutMs }: { freshness?: Freshness; timeoutMs: number },
  ): Promise<CheckCall> {
    const request = { jtis: [...jtis], freshness: wanted(freshness) };
    const { answer, ...call } = await this.#call(replica, () =>
      replica.client.isBlacklisted(request, { timeoutMs }),
    );
    const verdicts = answer?.verdicts.map((verdict) => VERDICTS[verdict]);
    return this.#note({
      kind: "check",
      ...call,
      jtis,
      freshness,
      answer: verdicts && { revision: answer?.revision ?? "", verdicts },
    });
  }

  /** Asks a gateway, which answers from its copy if possible. Never rejects: failures are recorded. */
  async ask(
    gateway: Gateway,
    jtis: readonly string[],
    { freshness = { kind: "fresh" }, timeoutMs }: { freshness?: Freshness; timeoutMs: number },
  ): Promise<CheckCall> {
    this.#started++;
    return this.#noteOf(gateway, {
      jtis,
      freshness,
      said: await gateway.ask({ jtis, freshness, timeoutMs }),
    });
  }

  /** Looks a jti up in a gateway's copy only. Undefined if the copy cannot decide; then nothing is recorded. */
  async peek(
    gateway: Gateway,
    jti: string,
    { maxStalenessMs }: { maxStalenessMs: number },
  ): Promise<CheckCall | undefined> {
    const said = await gateway.peek(jti, maxStalenessMs);
    if (said.verdicts === undefined) return undefined;
    this.#started++;
    return this.#noteOf(gateway, {
      jtis: [jti],
      freshness: { kind: "max-staleness", ms: maxStalenessMs },
      said,
    });
  }

  /** Records a Blacklist made in another way, whose outcome is unknown. */
  noteUnanswered(tokens: BlacklistCall["tokens"], { from, to }: Interval): void {
    this.#note({
      kind: "blacklist",
      tokens,
      from,
      to,
      replica: NO_REPLICA,
      failure: "outcome unknown",
      answer: undefined,
    });
  }

  #noteOf(
    gateway: Gateway,
    { jtis, freshness, said }: { jtis: readonly string[]; freshness: Freshness; said: GatewayAnswer },
  ): CheckCall {
    const { from, to, failure, verdicts } = said;
    return this.#note({
      kind: "check",
      replica: NO_REPLICA,
      gateway: gateway.index,
      from,
      to,
      failure,
      jtis,
      freshness,
      answer: verdicts && { revision: "", verdicts },
    });
  }

  #note<O extends Operation>(operation: O): O {
    this.operations.push(operation);
    return operation;
  }

  async #call<A>(replica: Replica, send: () => Promise<A>) {
    this.#started++;
    const from = now();
    try {
      const answer = await send();
      return { replica: replica.index, from, to: now(), failure: undefined, answer };
    } catch (error) {
      if (!(error instanceof ClientError)) throw error;
      const failure = error.reason ?? `grpc ${error.code}`;
      return { replica: replica.index, from, to: now(), failure, answer: undefined };
    }
  }
}

function wanted(freshness: Freshness) {
  switch (freshness.kind) {
    case "fresh":
      return { case: undefined };
    case "at-least":
      return { case: "atLeastRevision" as const, value: freshness.revision };
    case "max-staleness":
      return {
        case: "maxStaleness" as const,
        value: {
          seconds: BigInt(Math.floor(freshness.ms / 1000)),
          nanos: Math.round((freshness.ms % 1000) * 1e6),
        },
      };
  }
}
