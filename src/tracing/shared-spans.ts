import { type Attributes, SpanStatusCode } from "@opentelemetry/api";
import type { Fallback, Observer, Participant } from "../blacklist/observer.ts";
import type { EpochMs } from "../entry.ts";
import { CallSpans, guarded, type Tracing } from "./call-spans.ts";

/** Maximum number of calls to which the span of a shared read or commit is linked. A thousand calls can share a read: too many to inspect. */
export const MAX_SPAN_LINKS = 32;

/** A read or commit that has just ended. */
interface SharedRound {
  /** The name of the span. */
  readonly name: string;
  readonly participants: readonly Participant[];
  readonly milliseconds: number;
  readonly attributes: Attributes;
  /** The failure in one word; absent or undefined if the round succeeded. */
  readonly error?: string | undefined;
  /** Whether the participants stop waiting, since no further round follows. */
  readonly isLast: boolean;
}

/** The ends of a read of changes that are failures. "proven" and "more" are not; after "more", the next read follows. */
const FAILED_ENDS: ReadonlySet<string> = new Set(["read-only", "lost", "failed"]);

/**
 * Creates a span for each read and commit that a recorded call shared. The span is a child of the first such call's wait, so that it is recorded
 * with that call's trace, and is linked with the waits of the other recorded calls in both directions. It is created when the read or commit has
 * ended: only then is it known which calls share it.
 */
export class SharedSpans implements Observer {
  readonly #next: Observer;
  readonly #tracing: Tracing;

  constructor(next: Observer, tracing: Tracing) {
    this.#next = next;
    this.#tracing = tracing;
  }

  committed(commit: Parameters<Observer["committed"]>[0]): void {
    this.#next.committed(commit);
    const { results } = commit;
    this.#trace({
      ...commit,
      name: "commit",
      attributes: results === undefined ? {} : { "tokenblacklist.entries": results.length },
      error: results === undefined ? "failed" : undefined,
      // A failed commit may be retried, one commit per request.
      isLast: results !== undefined,
    });
  }

  followed(read: Parameters<Observer["followed"]>[0]): void {
    this.#next.followed(read);
    const { end } = read;
    this.#trace({
      ...read,
      name: "read changes",
      attributes: { "tokenblacklist.read.end": end },
      error: FAILED_ENDS.has(end) ? end : undefined,
      isLast: end !== "more",
    });
  }

  lookedUp(read: Parameters<Observer["lookedUp"]>[0]): void {
    this.#next.lookedUp(read);
    const error = read.succeeded ? undefined : "failed";
    this.#trace({ ...read, name: "look up jtis", attributes: {}, error, isLast: true });
  }

  fellBack(reason: Fallback): void {
    this.#next.fellBack(reason);
  }

  pruned(count: number): void {
    this.#next.pruned(count);
  }

  pruneEnded(run: { at: EpochMs; succeeded: boolean }): void {
    this.#next.pruneEnded(run);
  }

  startedOver(): void {
    this.#next.startedOver();
  }

  #trace({ name, participants, milliseconds, attributes, error, isLast }: SharedRound): void {
    const waiting = waitingCalls(participants);
    const [first, ...others] = waiting;
    if (first === undefined) return;
    guarded(() => {
      const { tracer, clock } = this.#tracing;
      const endTime = first.wait.wall + (clock.monotonic() - first.wait.monotonic);
      const span = tracer.startSpan(
        name,
        {
          startTime: endTime - milliseconds,
          attributes: { "tokenblacklist.sharing": participants.length, ...attributes },
          links: others.slice(0, MAX_SPAN_LINKS).map(({ wait }) => ({ context: wait.span.spanContext() })),
        },
        first.wait.context,
      );
      if (error !== undefined) {
        span.setAttribute("error.type", error).setStatus({ code: SpanStatusCode.ERROR });
      }
      span.end(endTime);
      for (const { call } of others) call.link(span.spanContext());
    });
    if (isLast) for (const { call } of waiting) call.endWait();
  }
}

/** A recorded call, and its current wait. */
interface WaitingCall {
  readonly call: CallSpans;
  readonly wait: NonNullable<CallSpans["wait"]>;
}

/** The recorded calls among `participants` that still wait: usually few. Unrecorded calls must cost nothing. */
function waitingCalls(participants: readonly Participant[]): WaitingCall[] {
  const found: WaitingCall[] = [];
  for (const { caller } of participants) {
    const call = caller?.trace;
    const wait = call instanceof CallSpans ? call.wait : undefined;
    if (wait !== undefined) found.push({ call: call as CallSpans, wait });
  }
  return found;
}
