import { createLocalJWKSet, errors, type FlattenedJWSInput, type JWSHeaderParameters } from "jose";
import type { Logger } from "pino";
import type { Clock } from "../clock.ts";
import { keysUnavailable } from "../errors.ts";
import { KEYS_RELOAD_MS, KEYS_RETRY_MS, UNKNOWN_KEY_RELOAD_MS } from "../limits.ts";
import { fetchKeys, KeysError, parseKeys } from "./fetch-keys.ts";
import type { KeySource } from "./key-source.ts";

type Find = ReturnType<typeof createLocalJWKSet>;

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
  #find: Find | undefined;
  #text: string | undefined;
  /** What went wrong when it was last read. */
  #problem: string | undefined;
  #reading: Promise<void> | undefined;
  /** When a key that is not in the set was last a reason to read it, by the monotonic clock. */
  #lookedForAt = Number.NEGATIVE_INFINITY;
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

  /** Whether it could not be read the last time. */
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
   * The key that a token's header names, for jose. Throws KEYS_UNAVAILABLE where a key set that cannot be had might know it, and
   * jose's JWKSNoMatchingKey where it does not.
   */
  readonly find = async (header: JWSHeaderParameters, token: FlattenedJWSInput): ReturnType<Find> => {
    if (this.#find === undefined) await this.#reading;
    if (this.#find === undefined) throw keysUnavailable();
    try {
      return await this.#findNow(header, token);
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
      await this.#lookForNewKeys();
      return await this.#findOrDoubt(header, token);
    }
  };

  async #findOrDoubt(header: JWSHeaderParameters, token: FlattenedJWSInput): ReturnType<Find> {
    try {
      return await this.#findNow(header, token);
    } catch (error) {
      // The provider may have begun to sign with a key that it cannot tell us of now.
      if (error instanceof errors.JWKSNoMatchingKey && this.#problem !== undefined) throw keysUnavailable();
      throw error;
    }
  }

  async #findNow(header: JWSHeaderParameters, token: FlattenedJWSInput): ReturnType<Find> {
    try {
      return await (this.#find as Find)(header, token);
    } catch (error) {
      const { JWKSNoMatchingKey, JWKSMultipleMatchingKeys } = errors;
      if (error instanceof JWKSNoMatchingKey || error instanceof JWKSMultipleMatchingKeys) throw error;
      // The key is there, in a form that cannot be used: its issuer's fault, not the token's.
      throw keysUnavailable();
    }
  }

  /** Whoever makes up names of keys must not make us ask the provider each time. */
  async #lookForNewKeys(): Promise<void> {
    const now = this.#options.clock.monotonic();
    if (this.#reading === undefined) {
      if (now - this.#lookedForAt < UNKNOWN_KEY_RELOAD_MS) return;
      this.#lookedForAt = now;
    }
    await this.#read();
  }

  #read(): Promise<void> {
    this.#reading ??= this.#readNow().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  async #readNow(): Promise<void> {
    this.#cancel();
    const { source, name, clock, log } = this.#options;
    try {
      const text = await fetchKeys(source);
      if (text !== this.#text) this.#take(text);
      if (this.#problem !== undefined) log.info({ keys: name }, "the key set can be read again");
      this.#problem = undefined;
    } catch (error) {
      const problem = error instanceof KeysError ? error.message : "it is not a JSON Web Key Set";
      if (problem !== this.#problem) {
        log.error({ keys: name, problem, kept: this.#find !== undefined }, "the key set cannot be read");
      }
      this.#problem = problem;
    }
    if (this.#stopped) return;
    const pause = this.#find === undefined ? KEYS_RETRY_MS : KEYS_RELOAD_MS;
    this.#cancel = clock.schedule(pause, () => void this.#read());
  }

  #take(text: string): void {
    const keys = parseKeys(text);
    this.#find = createLocalJWKSet(keys);
    this.#text = text;
    this.#version++;
    const { name, log } = this.#options;
    log.info({ keys: name, count: keys.keys.length }, "read the key set");
    for (const changed of this.#onChange) changed();
  }
}
