import { create } from "@bufbuild/protobuf";
import { Metadata } from "@grpc/grpc-js";
import { IsBlacklistedRequestSchema } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { type Clock, waitable } from "../clock.ts";
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
 * Asks `IsBlacklisted` over a stream, where a question costs about half of what a call does. One stream at a time, and not for long, so that
 * all replicas have their share. Where a stream brings nothing (an older service, a proxy that does not let it through) questions are calls.
 */
export class StreamedChecks {
  readonly #setup: Setup;
  /** Those of which something is left, the one that takes questions last. */
  readonly #streams = new Set<CheckStream>();
  #current: CheckStream | undefined;
  /** By the monotonic clock. */
  #restsUntil = Number.NEGATIVE_INFINITY;
  #restedAt = Number.NEGATIVE_INFINITY;
  /** Rests in a row, without an answer by a stream in between. */
  #rests = 0;

  constructor(setup: Setup) {
    this.#setup = setup;
  }

  readonly isBlacklisted: IsBlacklisted = async (init, options = {}) => {
    const { call, clock } = this.#setup;
    const { signal, metadata } = options;
    const timeoutMs = waitable(options.timeoutMs ?? DEFAULT_DEADLINE_MS);
    const began = clock.monotonic();
    const left = () => timeoutMs - (clock.monotonic() - began);
    // What belongs to one call alone cannot travel with a stream.
    if (metadata !== undefined || began < this.#restsUntil) return call(init, options);
    const request = create(IsBlacklistedRequestSchema, init);
    refuseIllFormed(IsBlacklistedRequestSchema, request);
    const known = this.#current?.takesMore ? this.#current : undefined;
    const stream = known ?? (await this.#open({ timeoutMs, signal }));
    try {
      // The caller's token may have taken its time.
      const answer = await stream.ask(request, { timeoutMs: Math.max(1, Math.ceil(left())), signal });
      this.#rests = 0;
      return answer;
    } catch (error) {
      if (!(error instanceof ClientError)) throw error;
      const isBarren = !stream.hasAnswered;
      // Also where nobody waits any more: were time always too short, it would never be found out.
      if (isBarren) this.#rest(stream);
      if (signal?.aborted) throw error;
      // The caller's token may have been renewed since the stream began.
      const isOutdated = error.code === "UNAUTHENTICATED" && known !== undefined;
      // Whatever has ended the stream says nothing of the question.
      if (!isBarren && !isOutdated && error !== stream.end) throw error;
      if (isOutdated) stream.retire();
      const remaining = left();
      if (remaining < 1) throw error;
      return call(init, { timeoutMs: remaining, signal });
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

  /** Once, however many questions and streams were lost together. */
  #rest({ beganAt }: CheckStream): void {
    // One from before the last rest says nothing new; and where another one answers, streams get through.
    if (beganAt <= this.#restedAt || this.#current?.hasAnswered) return;
    this.#restedAt = this.#setup.clock.monotonic();
    this.#restsUntil =
      this.#restedAt + Math.min(REST_FROM_STREAMS_MS * 2 ** this.#rests++, MAX_REST_FROM_STREAMS_MS);
  }
}
