import { Verdict } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { CHECK_TIMEOUT_MS } from "../limits.ts";
import type { Clock } from "../time/clock.ts";
import { asClientError, type ClientError, notFresh } from "./client-error.ts";
import type { RpcClient } from "./rpc-client.ts";

/** Interval of a client's probes. */
const PROBE_INTERVAL_MS = 1000;

/** No issuer uses this jti. The probe only needs a verdict other than UNKNOWN. */
const PROBE_JTI = "token-blacklist-client-probe";

interface Setup {
  readonly isBlacklisted: RpcClient["isBlacklisted"];
  readonly clock: Clock;
  /** Whether to probe again. */
  readonly isWanted: () => boolean;
  /** Called with the result; undefined: the service answers checks. */
  readonly onResult: (error: ClientError | undefined) => void;
}

/** Finds out whether the service answers checks, by a check of its own that is repeated while `isWanted` returns true. */
export class ServiceProbe {
  readonly #setup: Setup;
  readonly #closing = new AbortController();
  #isProbing = false;
  /** Cancels the timer of the next probe. */
  #cancelNext: (() => void) | undefined;

  constructor(setup: Setup) {
    this.#setup = setup;
  }

  /** Probes now, unless there was a probe within {@link PROBE_INTERVAL_MS}. */
  probeIfDue(): void {
    if (this.#cancelNext === undefined) this.probeNow();
  }

  /** Probes now, unless a probe is in flight. */
  probeNow(): void {
    if (this.#isProbing || this.#closing.signal.aborted) return;
    this.#cancelNext?.();
    this.#cancelNext = undefined;
    this.#isProbing = true;
    void this.#probe();
  }

  close(): void {
    this.#closing.abort();
    this.#cancelNext?.();
  }

  async #probe(): Promise<void> {
    const { isBlacklisted, clock, isWanted, onResult } = this.#setup;
    const { signal } = this.#closing;
    let error: ClientError | undefined;
    try {
      const { verdicts } = await isBlacklisted(
        { jtis: [PROBE_JTI] },
        { timeoutMs: CHECK_TIMEOUT_MS, signal },
      );
      if (verdicts[0] === Verdict.UNKNOWN) error = notFresh();
    } catch (cause) {
      error = asClientError(cause);
    }
    this.#isProbing = false;
    if (signal.aborted) return;
    this.#cancelNext = clock.schedule(PROBE_INTERVAL_MS, () => {
      this.#cancelNext = undefined;
      if (isWanted()) this.probeNow();
    });
    onResult(error);
  }
}
