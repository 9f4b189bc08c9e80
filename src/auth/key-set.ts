import { createLocalJWKSet, errors, type FlattenedJWSInput, type JWSHeaderParameters } from "jose";
import type { Logger } from "pino";
import type { Clock } from "../clock.ts";
import { keysUnavailable, type ServiceError } from "../errors.ts";
import { KEYS_RELOAD_MS, KEYS_RETRY_MS, UNKNOWN_KEY_RELOAD_MS } from "../limits.ts";
import { fetchKeys, KeysError } from "./fetch-keys.ts";
import type { KeySource } from "./key-source.ts";
import { listed, type ParsedKeys, parseKeys } from "./parse-keys.ts";

/** The key that a token's header names, for jose. */
export type FindKey = ReturnType<typeof createLocalJWKSet>;

interface Options {
  readonly source: KeySource;
  /** What it is for, in log lines. */
  readonly name: string;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * The public keys of an issuer. It is read anew in the background, and what was read last is kept for as long as nothing newer can
 * be had: an identity provider's outage changes nothing for those whose keys are known.
 */
export class KeySet {
  readonly #options: Options;
  readonly #onChange: (() => void)[] = [];
  #find: FindKey | undefined;
  #text: string | undefined;
  /** What went wrong when it was last read. */
  #problem: string | undefined;
  #reading: Promise<void> | undefined;
  /** How many readings have begun, and which of them was the last that went well. */
  #begun = 0;
  #lastGood = 0;
  /** When a token that fits no key was last a reason to read it, by the monotonic clock. */
  #lookedForAt = Number.NEGATIVE_INFINITY;
  /** When it is read next, if it is not being read. */
  #nextAt = 0;
  #cancel = () => {};
  #stopped = false;
  #version = 0;

  constructor(options: Options) {
    this.#options = options;
  }

  /** Grows with every change of the keys; 0 before there are any. */
  get version(): number {
    return this.#version;
  }

  /** Whether it could not be read the last time, or had no key that can be used. */
  get isUnreadable(): boolean {
    return this.#problem !== undefined;
  }

  /** Reads it for the first time. Does not wait: until it is there, tokens cannot be judged. */
  start(): void {
    void this.#read();
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel();
  }

  /** `changed` runs whenever other keys than before have been read: what the old ones vouched for has to be judged anew. */
  onChange(changed: () => void): void {
    this.#onChange.push(changed);
  }

  /**
   * Runs `verify` with the keys that are known. Where the token fits none of them (jose's JWKSNoMatchingKey and
   * JWSSignatureVerificationFailed), that is believed only after a reading that began after this call: a provider may have put a new
   * key under an old name, or sign with one that no name tells apart. Such a reading is made at once, one for all who wait, and no
   * more often than each UNKNOWN_KEY_RELOAD_MS, so that nobody can have the provider asked by forging tokens. Throws KEYS_UNAVAILABLE,
   * with the time to wait, where the reading is not allowed yet or fails, or there are no keys; else what `verify` throws.
   */
  async verifyWith<T>(verify: (find: FindKey) => Promise<T>): Promise<T> {
    const arrivedAfter = this.#begun;
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
        // Other keys may have come meanwhile.
        continue;
      }
      if (this.#lastGood > arrivedAfter) throw mismatch;
      await this.#readEarly();
    }
  }

  async #readEarly(): Promise<void> {
    const { clock, source } = this.#options;
    // Nobody is burdened by the reading of a file, one at a time.
    const rest = source.kind === "file" ? 0 : UNKNOWN_KEY_RELOAD_MS;
    const allowedAt = () => this.#lookedForAt + rest;
    if (this.#reading === undefined) {
      if (clock.monotonic() < allowedAt()) {
        throw this.#unavailable(
          "the token fits none that is known, and they were read just now",
          allowedAt(),
        );
      }
      this.#lookedForAt = clock.monotonic();
    }
    await this.#read();
    if (this.#problem !== undefined) throw this.#unavailable(this.#problem, allowedAt());
  }

  /** `at` is when it makes sense to ask again, by the monotonic clock. */
  #unavailable(because: string | undefined, at: number): ServiceError {
    const retryAfterMs = Math.max(SHORTEST_WAIT_MS, Math.ceil(at - this.#options.clock.monotonic()));
    return keysUnavailable({ because, retryAfterMs });
  }

  #read(): Promise<void> {
    this.#reading ??= this.#readNow(++this.#begun).finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  async #readNow(reading: number): Promise<void> {
    this.#cancel();
    const { source, name, clock, log } = this.#options;
    try {
      const text = await fetchKeys(source);
      if (text !== this.#text) this.#take(text);
      if (this.#problem !== undefined) log.info({ keys: name }, "the key set can be read again");
      this.#problem = undefined;
      this.#lastGood = reading;
    } catch (error) {
      const problem = error instanceof KeysError ? error.message : "it is not a JSON Web Key Set";
      if (problem !== this.#problem) {
        log.error({ keys: name, problem, kept: this.#find !== undefined }, "the key set cannot be read");
      }
      this.#problem = problem;
    }
    const pause = this.#find === undefined ? KEYS_RETRY_MS : KEYS_RELOAD_MS;
    this.#nextAt = clock.monotonic() + pause;
    if (this.#stopped) return;
    this.#cancel = clock.schedule(pause, () => void this.#read());
  }

  #take(text: string): void {
    const { usable, unusable } = parseKeys(text);
    this.#find = this.#finder(createLocalJWKSet({ keys: [...usable] }), unusable);
    this.#text = text;
    this.#version++;
    const { name, log } = this.#options;
    log.info({ keys: name, count: usable.length }, "read the key set");
    if (unusable.length > 0) {
      log.warn({ keys: name, problem: listed(unusable) }, "the key set has keys that cannot be used");
    }
    for (const changed of this.#onChange) changed();
  }

  #finder(find: FindKey, unusable: ParsedKeys["unusable"]): FindKey {
    const problems = new Map(unusable.map(({ kid, problem }) => [kid, problem]));
    return Object.assign(
      async (header?: JWSHeaderParameters, token?: FlattenedJWSInput) => {
        try {
          return await find(header, token);
        } catch (error) {
          if (error instanceof errors.JWKSMultipleMatchingKeys) throw error;
          const problem = header?.kid === undefined ? undefined : problems.get(header.kid);
          if (error instanceof errors.JWKSNoMatchingKey && problem === undefined) throw error;
          // The key is there, in a form that cannot be used: its issuer's fault, not the token's.
          throw this.#unavailable(
            `the key that the token names ${problem ?? "cannot be used"}`,
            this.#nextAt,
          );
        }
      },
      { jwks: find.jwks },
    );
  }
}

/** Whether a token fits none of the keys that it was tried with. */
export function isMismatch(error: unknown): boolean {
  return error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWSSignatureVerificationFailed;
}

/** Where the reading is due or under way already. */
const SHORTEST_WAIT_MS = 100;
