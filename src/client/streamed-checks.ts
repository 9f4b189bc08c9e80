import { create } from "@bufbuild/protobuf";
import { Metadata } from "@grpc/grpc-js";
import { IsBlacklistedRequestSchema } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import type { Clock } from "../clock.ts";
import {
  CHECK_STREAM_MS,
  DEFAULT_DEADLINE_MS,
  MAX_REST_FROM_STREAMS_MS,
  REST_FROM_STREAMS_MS,
} from "../limits.ts";
import type { Channel } from "./channel.ts";
import { CheckStream } from "./check-stream.ts";
import type { TokenBlacklistClient } from "./client.ts";
import { ClientError } from "./client-error.ts";
import { refuseIllFormed } from "./well-formed.ts";

type IsBlacklisted = TokenBlacklistClient["isBlacklisted"];

interface Setup {
  readonly channel: Channel;
  /** The same question as a call. */
  readonly call: IsBlacklisted;
  readonly clock: Clock;
  /** 0 to 1, without 1. */
  readonly random: () => number;
}

/**
 * Asks `IsBlacklisted` over a stream, where a question costs a fourth of what a call does. One stream at a time, and not for long, so that
 * all replicas have their share. Where a stream brings nothing (an older service, a proxy that does not let it through) questions are calls.
 */
export class StreamedChecks {
  readonly #setup: Setup;
  /** Those that have not ended, the one that takes questions last. */
  readonly #streams = new Set<CheckStream>();
  #current: CheckStream | undefined;
  /** By the monotonic clock. */
  #restsUntil = Number.NEGATIVE_INFINITY;
  /** Streams in a row that have answered nothing, and the last of them. */
  #failures = 0;
  #barren: CheckStream | undefined;

  constructor(setup: Setup) {
    this.#setup = setup;
  }

  readonly isBlacklisted: IsBlacklisted = async (init, options = {}) => {
    const { call, clock } = this.#setup;
    const { timeoutMs = DEFAULT_DEADLINE_MS, signal, metadata } = options;
    const began = clock.monotonic();
    // What belongs to one call alone cannot travel with a stream.
    if (metadata !== undefined || began < this.#restsUntil) return call(init, options);
    const request = create(IsBlacklistedRequestSchema, init);
    refuseIllFormed(IsBlacklistedRequestSchema, request);
    const known = this.#current?.takesMore ? this.#current : undefined;
    const stream = known ?? (await this.#open({ timeoutMs, signal }));
    try {
      const answer = await stream.ask(request, { timeoutMs, signal });
      this.#failures = 0;
      return answer;
    } catch (error) {
      if (!(error instanceof ClientError) || signal?.aborted) throw error;
      if (!stream.hasAnswered) this.#rest(stream);
      // The caller's token may have been renewed since the stream began.
      else if (error.code === "UNAUTHENTICATED" && known !== undefined) stream.retire();
      else throw error;
      const left = timeoutMs - (clock.monotonic() - began);
      if (left < 1) throw error;
      return call(init, { timeoutMs: left, signal });
    }
  };

  close(): void {
    const error = new ClientError("CANCELLED", "the client is closed");
    for (const stream of [...this.#streams]) stream.cancel(error);
  }

  async #open(limits: { timeoutMs: number; signal: AbortSignal | undefined }): Promise<CheckStream> {
    const { channel, clock, random } = this.#setup;
    const { authorization, grpc } = channel;
    const metadata = authorization === undefined ? new Metadata() : await authorization(limits);
    // Somebody else may have opened one meanwhile.
    if (this.#current?.takesMore) return this.#current;
    this.#current?.retire();
    const stream = new CheckStream(grpc, {
      metadata,
      clock,
      lifetimeMs: CHECK_STREAM_MS * (1 - random() / 4),
      onEnd: () => {
        this.#streams.delete(stream);
        if (this.#current === stream) this.#current = undefined;
      },
    });
    this.#streams.add(stream);
    this.#current = stream;
    return stream;
  }

  /** Once for each stream, however many have waited for it. */
  #rest(stream: CheckStream): void {
    if (this.#barren === stream) return;
    this.#barren = stream;
    const restMs = Math.min(REST_FROM_STREAMS_MS * 2 ** this.#failures++, MAX_REST_FROM_STREAMS_MS);
    this.#restsUntil = this.#setup.clock.monotonic() + restMs;
  }
}
