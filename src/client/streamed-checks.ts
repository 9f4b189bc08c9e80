import { create } from "@bufbuild/protobuf";
import { Metadata } from "@grpc/grpc-js";
import { IsBlacklistedRequestSchema } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { DEFAULT_DEADLINE_MS } from "../limits.ts";
import { type Clock, clampedToTimer } from "../time/clock.ts";
import type { Channel } from "./channel.ts";
import { CheckStream } from "./check-stream.ts";
import { ClientError, clientClosed } from "./client-error.ts";
import type { RpcClient } from "./rpc-client.ts";
import { rejectIllFormedText } from "./validate-messages.ts";

/**
 * How long one stream accepts a client's checks, reduced by up to a quarter at random. The next stream may go to another replica, and
 * carries the caller's current token.
 */
export const CHECK_STREAM_MS = 10_000;
/** After a stream without any answer, checks are unary calls for this long, doubling after each further such stream up to the maximum. */
export const UNARY_CHECKS_MS = 1000;
export const MAX_UNARY_CHECKS_MS = 60_000;

type IsBlacklisted = RpcClient["isBlacklisted"];

interface Setup {
  readonly channel: Channel;
  /** The same method as a unary call. */
  readonly callUnary: IsBlacklisted;
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

/**
 * Calls `IsBlacklisted` over a `StreamChecks` stream, where a check costs about half of what a unary call does. One stream at a
 * time is used, for a limited time, so that all replicas get their share of the checks. If streams are not answered (an older service, or a proxy
 * that blocks them), checks are unary calls.
 */
export class StreamedChecks {
  readonly #setup: Setup;
  /** Streams that have not ended; only `#current` may accept checks. */
  readonly #streams = new Set<CheckStream>();
  #current: CheckStream | undefined;
  /** Until when checks are unary calls, by the monotonic clock. */
  #unaryUntil = Number.NEGATIVE_INFINITY;
  /** When checks last became unary calls, by the monotonic clock. */
  #unarySince = Number.NEGATIVE_INFINITY;
  /** How many times in a row checks became unary calls without an answer on a stream in between. */
  #failedStreams = 0;

  constructor(setup: Setup) {
    this.#setup = setup;
  }

  readonly isBlacklisted: IsBlacklisted = async (init, options = {}) => {
    const { callUnary, clock } = this.#setup;
    const { signal, metadata } = options;
    const timeoutMs = clampedToTimer(options.timeoutMs ?? DEFAULT_DEADLINE_MS);
    const began = clock.monotonic();
    const leftMs = () => timeoutMs - (clock.monotonic() - began);
    if (began < this.#unaryUntil) return callUnary(init, options);
    const request = create(IsBlacklistedRequestSchema, init);
    rejectIllFormedText(IsBlacklistedRequestSchema, request);
    const known = this.#current?.acceptsChecks ? this.#current : undefined;
    const stream = known ?? (await this.#open({ timeoutMs, signal }));
    let error: unknown;
    let hasEnded = false;
    try {
      // Getting the caller's token may have taken time.
      const remaining = Math.max(1, Math.ceil(leftMs()));
      const answer = await stream.ask(request, { timeoutMs: remaining, signal, metadata });
      if (!("streamEnd" in answer)) {
        this.#failedStreams = 0;
        return answer;
      }
      hasEnded = true;
      error = answer.streamEnd;
    } catch (cause) {
      error = cause;
    }
    if (!(error instanceof ClientError)) throw error;
    const gaveNoAnswer = !stream.hasAnswered;
    // Even if the caller has aborted: otherwise a caller whose timeouts are too short would never detect a blocked stream.
    if (gaveNoAnswer) this.#useUnary(stream);
    if (signal?.aborted) throw error;
    // The caller's token may have been renewed since the stream was opened.
    const isOutdated = error.code === "UNAUTHENTICATED" && known !== undefined;
    // An error that ended the stream does not concern the check.
    if (!gaveNoAnswer && !isOutdated && !hasEnded) throw error;
    if (isOutdated) stream.retire();
    const remaining = leftMs();
    if (remaining < 1) throw error;
    return callUnary(init, { timeoutMs: remaining, signal, metadata });
  };

  close(): void {
    for (const stream of [...this.#streams]) stream.cancel(clientClosed());
  }

  async #open(limits: { timeoutMs: number; signal: AbortSignal | undefined }): Promise<CheckStream> {
    const { channel, clock, random } = this.#setup;
    const { authorization, grpc } = channel;
    const metadata = authorization === undefined ? new Metadata() : await authorization(limits);
    // Another check may have opened a stream meanwhile.
    if (this.#current?.acceptsChecks) return this.#current;
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

  /** Makes checks unary calls for a while. Counts once, however many checks and streams failed together. */
  #useUnary({ beganAt }: CheckStream): void {
    // A stream that began before checks last became unary calls has been counted; and if the current stream has answers, streams work.
    if (beganAt <= this.#unarySince || this.#current?.hasAnswered) return;
    this.#unarySince = this.#setup.clock.monotonic();
    this.#unaryUntil =
      this.#unarySince + Math.min(UNARY_CHECKS_MS * 2 ** this.#failedStreams++, MAX_UNARY_CHECKS_MS);
  }
}
