import { expect } from "chai";
import { CompactSign, type JWTPayload } from "jose";
import { BearerAuthenticator, type BearerRules } from "../../../src/auth/bearer-authenticator.ts";
import { JwksCache, KEYS_RELOAD_MS } from "../../../src/auth/jwks-cache.ts";
import type { Principal } from "../../../src/caller.ts";
import type { EpochMs } from "../../../src/entry.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { createSigningKey, KeyServer, type SigningKey, signToken } from "../../support/issuer.ts";
import { memoryLog } from "../../support/memory-log.ts";
import { rejection } from "../../support/rejection.ts";
import { until } from "../../support/until.ts";

export const RULES: BearerRules = {
  issuer: "https://id.example",
  audience: "token-blacklist",
  algorithms: ["ES256"],
  scopeClaim: "scope",
  clockToleranceMs: 5000,
};
export const MINUTE = 60_000;
export const EXPIRED = "the bearer token has expired";

const signingKey = createSigningKey("k1");

/** An authenticator of bearer tokens, and a server of its key set, on a fake clock. */
export class BearerStage {
  /** The key of valid tokens. */
  readonly key: SigningKey;
  readonly clock = new FakeClock();
  server: KeyServer;
  keys: JwksCache;
  bearers: BearerAuthenticator;
  /** The latest time of all clocks. */
  latest: () => EpochMs = () => this.clock.now();

  private constructor(key: SigningKey, server: KeyServer) {
    this.key = key;
    this.server = server;
    this.keys = this.#openKeys();
    this.bearers = this.bearersWith(RULES);
  }

  static async start(): Promise<BearerStage> {
    const key = await signingKey;
    return new BearerStage(key, await KeyServer.start(key));
  }

  async stop(): Promise<void> {
    this.keys.stop();
    await this.server.stop();
  }

  #openKeys(): JwksCache {
    const source = { kind: "url", url: this.server.url } as const;
    const keys = new JwksCache({ source, name: "callers", clock: this.clock, log: memoryLog().log });
    keys.start();
    return keys;
  }

  /** An authenticator that has cached no token, with the present keys. */
  bearersWith(rules: BearerRules): BearerAuthenticator {
    const { keys, clock } = this;
    return new BearerAuthenticator({ rules, keys, clock, now: () => this.latest() });
  }

  /** Starts over with a key set that has not been read yet. */
  restart(): void {
    this.keys.stop();
    this.keys = this.#openKeys();
    this.bearers = this.bearersWith(RULES);
  }

  /** The claims of a valid token, with these changes. */
  claims(changed: object = {}): JWTPayload {
    const { issuer: iss, audience: aud } = RULES;
    const exp = (this.clock.now() + 10 * MINUTE) / 1000;
    return { iss, aud, exp, sub: "gateway", scope: "check revoke", ...changed };
  }

  tokenWith(changed: object = {}): Promise<string> {
    return signToken(this.key, this.claims(changed));
  }

  rawToken(payload: string): Promise<string> {
    const { alg, kid, privateKey } = this.key;
    return new CompactSign(Buffer.from(payload)).setProtectedHeader({ alg, kid }).sign(privateKey);
  }

  authenticate(token: string): Principal | Promise<Principal> {
    return this.bearers.authenticate([`Bearer ${token}`]);
  }

  isRemembered(token: string): boolean {
    return !(this.authenticate(token) instanceof Promise);
  }

  /** The error message, which must not contain anything of the token. */
  refusal(token: string): Promise<string> {
    return this.refusalOf([`Bearer ${token}`]);
  }

  async refusalOf(metadata: readonly unknown[]): Promise<string> {
    const authenticating = Promise.resolve().then(() => this.bearers.authenticate(metadata));
    const error = (await rejection(authenticating)) as Error;
    expect(error).to.include({ name: "ServiceError", reason: "UNAUTHENTICATED" });
    expect(error.cause).to.equal(undefined);
    return error.message;
  }

  /** Resolves when the key set has been read. */
  idle(): Promise<void> {
    return until(() => this.clock.pendingTimers === 1, { withinMs: 5000, what: "the key set was read" });
  }

  /** Triggers the background refresh of the key set. */
  async reload(): Promise<void> {
    this.clock.advance(KEYS_RELOAD_MS);
    await this.idle();
  }
}
