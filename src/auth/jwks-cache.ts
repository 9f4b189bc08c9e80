import { type CompactVerifyGetKey, type CryptoKey, createLocalJWKSet, errors } from "jose";
import type { Logger } from "pino";
import { keysUnavailable, type ServiceError } from "../errors.ts";
import type { Clock } from "../time/clock.ts";
import { fetchJwks, JwksError } from "./fetch-jwks.ts";
import type { JwksSource } from "./jwks-source.ts";
import { listProblems, type ParsedJwks, parseJwks } from "./parse-jwks.ts";

/** Interval at which a key set is read again, so that new and withdrawn keys are known within a minute. */
export const KEYS_RELOAD_MS = 45_000;
/** The interval while no key set has been read yet. */
export const KEYS_RETRY_MS = 1000;
/**
 * Minimum interval between early reads of a URL, caused by tokens that fit no key of the set. It bounds how often forged tokens cause a
 * request to the provider, and for how long they can delay the verification of a token with a new key.
 */
export const UNKNOWN_KEY_RELOAD_MS = 10_000;

/** Finds the key for a token by the token's header. Rejects with an error of jose if no key fits, or several do. */
export type FindKey = (...header: Parameters<CompactVerifyGetKey>) => Promise<CryptoKey>;

interface Options {
  readonly source: JwksSource;
  /** The name of the key set in log lines. */
  readonly name: string;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * The public keys of an issuer, refreshed in the background. The last good keys stay in use while a refresh fails, so an outage of the
 * identity provider does not affect tokens whose keys are known.
 */
export class JwksCache {
  readonly #options: Options;
  readonly #onChange: (() => void)[] = [];
  #find: FindKey | undefined;
  #text: string | undefined;
  /** Why the last read failed; undefined if it succeeded. */
  #problem: string | undefined;
  #reading: Promise<void> | undefined;
  /** How many reads have begun. The first read has number 1. */
  #begunReads = 0;
  /** The number of the last successful read; 0 before the first. */
  #lastGoodRead = 0;
  /** When a token that fits no key last triggered a read, by the monotonic clock. */
  #earlyReadAt = Number.NEGATIVE_INFINITY;
  /** When the next read is due, by the monotonic clock; outdated while a read is in flight. */
  #nextAt = 0;
  #cancel = () => {};
  #stopped = false;
  #version = 0;

  constructor(options: Options) {
    this.#options = options;
  }

  /** Increases with every change of the keys; 0 before the first keys. */
  get version(): number {
    return this.#version;
  }

  /** Whether the last read failed, or found no usable key. */
  get isUnreadable(): boolean {
    return this.#problem !== undefined;
  }

  /** Starts the first read without waiting for it. Until it succeeds, tokens cannot be verified. */
  start(): void {
    void this.#read();
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel();
  }

  /** `changed` is called whenever different keys have been read. Results based on the old keys must not be used any more. */
  onChange(changed: () => void): void {
    this.#onChange.push(changed);
  }

  /**
   * Runs `verify` with the current keys. If the token fits none of them (jose's JWKSNoMatchingKey and JWSSignatureVerificationFailed), the
   * mismatch is final only after a read of the key set that began after this call: a provider may have put a new key under an old name, or
   * sign with a key that has no name. All waiting calls share that read. A file is read at once, a URL at most once per
   * UNKNOWN_KEY_RELOAD_MS, so that forged tokens cannot make the service flood the provider. Throws KEYS_UNAVAILABLE, with the time to wait, if the read is not allowed yet or fails, or if
   * there are no keys. Otherwise throws the error of `verify`.
   */
  async verifyWith<T>(verify: (find: FindKey) => Promise<T>): Promise<T> {
    const readsBefore = this.#begunReads;
    if (this.#find === undefined) await this.#reading;
    let triedVersion = 0;
    let mismatch: unknown;
    for (;;) {
      if (this.#find === undefined) throw this.#unavailable(this.#problem, this.#nextAt);
      if (this.#version !== triedVersion) {
        triedVersion = this.#version;
        try {
          return await verify(this.#find);
        } catch (error) {
          if (!isMismatch(error)) throw error;
          mismatch = error;
        }
        // The keys may have changed during the verification, so check the version again.
        continue;
      }
      // The token fits no key of a read that began after this call.
      if (this.#lastGoodRead > readsBefore) throw mismatch;
      await this.#readEarly();
    }
  }

  async #readEarly(): Promise<void> {
    const { clock, source } = this.#options;
    // A file may be read at any rate, since that burdens no provider.
    const minIntervalMs = source.kind === "file" ? 0 : UNKNOWN_KEY_RELOAD_MS;
    const allowedAt = () => this.#earlyReadAt + minIntervalMs;
    if (this.#reading === undefined) {
      if (clock.monotonic() < allowedAt()) {
        throw this.#unavailable(
          "no known key verifies the token, and the key set was read recently",
          allowedAt(),
        );
      }
      this.#earlyReadAt = clock.monotonic();
    }
    await this.#read();
    if (this.#problem !== undefined) throw this.#unavailable(this.#problem, allowedAt());
  }

  /** A retry may succeed at `retryAt`, by the monotonic clock. */
  #unavailable(detail: string | undefined, retryAt: number): ServiceError {
    const retryAfterMs = Math.max(SHORTEST_WAIT_MS, Math.ceil(retryAt - this.#options.clock.monotonic()));
    return keysUnavailable({ detail, retryAfterMs });
  }

  #read(): Promise<void> {
    this.#reading ??= this.#readNow(++this.#begunReads).finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  async #readNow(readNumber: number): Promise<void> {
    this.#cancel();
    const { source, name, clock, log } = this.#options;
    try {
      const text = await fetchJwks(source);
      if (text !== this.#text) this.#replaceKeys(text);
      if (this.#problem !== undefined) log.info({ keys: name }, "the key set can be read again");
      this.#problem = undefined;
      this.#lastGoodRead = readNumber;
    } catch (error) {
      const problem = error instanceof JwksError ? error.message : "it is not a JSON Web Key Set";
      if (problem !== this.#problem) {
        log.error({ keys: name, problem, kept: this.#find !== undefined }, "the key set cannot be read");
      }
      this.#problem = problem;
    }
    const delayMs = this.#find === undefined ? KEYS_RETRY_MS : KEYS_RELOAD_MS;
    this.#nextAt = clock.monotonic() + delayMs;
    if (this.#stopped) return;
    this.#cancel = clock.schedule(delayMs, () => void this.#read());
  }

  #replaceKeys(text: string): void {
    const { usable, unusable } = parseJwks(text);
    this.#find = this.#finder(createLocalJWKSet({ keys: [...usable] }), unusable);
    this.#text = text;
    this.#version++;
    const { name, log } = this.#options;
    log.info({ keys: name, count: usable.length }, "read the key set");
    if (unusable.length > 0) {
      log.warn({ keys: name, problem: listProblems(unusable) }, "the key set has keys that cannot be used");
    }
    for (const changed of this.#onChange) changed();
  }

  /** Wraps jose's `find`: throws KEYS_UNAVAILABLE if the key for the token is in the set but unusable. */
  #finder(find: FindKey, unusable: ParsedJwks["unusable"]): FindKey {
    const problems = new Map(unusable.map(({ kid, problem }) => [kid, problem]));
    return async (header, token) => {
      try {
        return await find(header, token);
      } catch (error) {
        if (error instanceof errors.JWKSMultipleMatchingKeys) throw error;
        const problem = header.kid === undefined ? undefined : problems.get(header.kid);
        if (error instanceof errors.JWKSNoMatchingKey && problem === undefined) throw error;
        // The token may be valid: its issuer has published the key in an unusable form.
        throw this.#unavailable(`the key that the token names ${problem ?? "cannot be used"}`, this.#nextAt);
      }
    };
  }
}

/** Whether a token fits none of the keys with which it was tried. */
export function isMismatch(error: unknown): boolean {
  return error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWSSignatureVerificationFailed;
}

/** Minimum time that callers are told to wait. It applies while the next read is due or in flight. */
const SHORTEST_WAIT_MS = 100;
