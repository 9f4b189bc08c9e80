import { expect } from "chai";
import { MAX_CACHED_BEARER_LENGTH, MAX_CACHED_BEARERS } from "../../../src/auth/bearer-authenticator.ts";
import { UNKNOWN_KEY_RELOAD_MS } from "../../../src/auth/jwks-cache.ts";
import { MAX_KEYS } from "../../../src/auth/parse-jwks.ts";
import type { Principal } from "../../../src/caller.ts";
import type { EpochMs } from "../../../src/entry.ts";
import { createSigningKey, KeyServer, keySetOf, signToken } from "../../support/issuer.ts";
import { rejection, thrownBy } from "../../support/rejection.ts";
import { BearerStage, EXPIRED, MINUTE, RULES } from "./bearer-stage.ts";

describe("BearerAuthenticator caches a token", () => {
  let stage: BearerStage;

  beforeEach(async () => {
    stage = await BearerStage.start();
  });
  afterEach(() => stage.stop());

  it("so that its next call needs no verification and no key set", async () => {
    const token = await stage.tokenWith();
    const principal = await stage.authenticate(token);
    await stage.server.stop();
    expect(stage.authenticate(token)).to.equal(principal);
    stage.server = await KeyServer.start(stage.key);
  });

  it("and verifies concurrent calls with it once", async () => {
    const token = await stage.tokenWith();
    const asked = Array.from({ length: 1000 }, () => stage.authenticate(token));
    expect(new Set(asked).size).to.equal(1);
    const principals = new Set(await Promise.all(asked));
    expect([principals.size, principals.has(stage.authenticate(token) as Principal)]).to.deep.equal([
      1,
      true,
    ]);
  });

  it("by its whole text, signature included", async () => {
    const token = await stage.tokenWith();
    await stage.authenticate(token);
    const [header, payload, signature = ""] = token.split(".");
    for (const other of ["", signature.slice(0, -2), "A".repeat(86)]) {
      stage.clock.advance(UNKNOWN_KEY_RELOAD_MS);
      expect(await stage.refusal(`${header}.${payload}.${other}`)).to.equal(
        "the bearer token has a signature that its issuer's keys do not verify",
      );
    }
  });

  it("until the millisecond of its expiry", async () => {
    const token = await stage.tokenWith({ exp: (stage.clock.now() + 1000) / 1000 });
    await stage.authenticate(token);
    stage.clock.advance(999);
    expect(stage.isRemembered(token)).to.equal(true);
    stage.clock.advance(1);
    expect([await stage.refusal(token), await stage.refusal(token)]).to.deep.equal([EXPIRED, EXPIRED]);
  });

  it("and not for longer if the wall clock is set back, on any later attempt", async () => {
    const token = await stage.tokenWith({ exp: (stage.clock.now() + MINUTE / 2) / 1000 });
    await stage.authenticate(token);
    stage.clock.jumpTo(stage.clock.now() - 10 * MINUTE);
    stage.clock.advance(MINUTE / 2 - 1);
    expect(stage.isRemembered(token)).to.equal(true);
    stage.clock.advance(1);
    expect([await stage.refusal(token), await stage.refusal(token)]).to.deep.equal([EXPIRED, EXPIRED]);
  });

  it("and treats it as expired only while the wall clock says so", async () => {
    const token = await stage.tokenWith();
    await stage.authenticate(token);
    const rightly = stage.clock.now();
    stage.clock.jumpTo(rightly + 10 * MINUTE);
    expect(thrownBy(() => stage.authenticate(token))).to.include({ message: EXPIRED });
    stage.clock.jumpTo(rightly);
    expect(stage.isRemembered(token)).to.equal(true);
  });

  it("and not for longer than any clock allows, cached or not", async () => {
    const token = await stage.tokenWith({ exp: (stage.clock.now() + MINUTE) / 1000 });
    await stage.authenticate(token);
    stage.latest = () => (stage.clock.now() + MINUTE) as EpochMs;
    expect(await stage.refusal(token)).to.equal(EXPIRED);
    stage.bearers = stage.bearersWith(RULES);
    expect(await stage.refusal(token)).to.equal(EXPIRED);
    stage.latest = () => stage.clock.now();
    expect(stage.isRemembered(token)).to.equal(false);
  });

  it("until the keys change, and then verifies it with the new ones", async () => {
    const token = await stage.tokenWith();
    await stage.authenticate(token);
    const next = await createSigningKey("k2");
    stage.server.body = keySetOf(stage.key, next);
    await stage.reload();
    expect(stage.isRemembered(token)).to.equal(false);
    await stage.authenticate(token);
    stage.server.body = keySetOf(next);
    await stage.reload();
    expect(await stage.refusal(token)).to.equal(
      "the bearer token is signed with a key that is not in its issuer's key set",
    );
  });

  for (const first of [true, false]) {
    it(`but not if its key was withdrawn during the verification${first ? " with the first keys" : ""}`, async () => {
      const other = await createSigningKey("other");
      const nameless = [...Array(MAX_KEYS - 1).fill(other), stage.key].map(({ publicJwk }) => ({
        ...publicJwk,
        kid: undefined,
      }));
      stage.server.body = JSON.stringify({ keys: nameless });
      stage.keys.stop();
      stage.restart();
      if (!first) await stage.idle();
      const token = await signToken(stage.key, stage.claims(), { kid: undefined });
      let verified = false;
      const verifying = Promise.resolve(stage.authenticate(token)).then(({ name }) => {
        verified = true;
        return name;
      });
      await stage.idle();
      stage.server.body = keySetOf(other);
      await stage.reload();
      expect([stage.keys.version, verified]).to.deep.equal([2, false]);
      expect([await verifying, stage.isRemembered(token)]).to.deep.equal(["gateway", false]);
    });
  }

  it("while the same keys are read again, or cannot be read", async () => {
    const token = await stage.tokenWith();
    await stage.authenticate(token);
    await stage.reload();
    stage.server.status = 503;
    await stage.reload();
    expect([stage.server.requests, stage.isRemembered(token)]).to.deep.equal([3, true]);
  });

  it("but not if it was refused", async () => {
    const token = await stage.tokenWith({ aud: "other" });
    await stage.refusal(token);
    const again = stage.authenticate(token);
    expect(again).to.be.instanceOf(Promise);
    await rejection(again as Promise<unknown>);
  });

  it("but not if it is long, although it is accepted", async () => {
    const pad = (length: number) => stage.tokenWith({ pad: "x".repeat(length) });
    const short = (await pad(0)).length;
    const longer = Math.ceil(((MAX_CACHED_BEARER_LENGTH - "Bearer ".length - short) / 4) * 3);
    for (const [length, remembered] of [
      [longer - 8, true],
      [longer + 8, false],
    ] as const) {
      const token = await pad(length);
      expect(`Bearer ${token}`.length <= MAX_CACHED_BEARER_LENGTH).to.equal(remembered);
      expect((await stage.authenticate(token)).name).to.equal("gateway");
      expect(stage.isRemembered(token)).to.equal(remembered);
    }
  });

  it("and evicts the oldest above the limit", async function () {
    this.timeout(60_000);
    this.slow(20_000);
    const tokens: string[] = [];
    while (tokens.length <= MAX_CACHED_BEARERS) {
      const count = Math.min(500, MAX_CACHED_BEARERS + 1 - tokens.length);
      const some = Array.from({ length: count }, (_, index) => stage.tokenWith({ n: tokens.length + index }));
      for (const token of await Promise.all(some)) tokens.push(token);
      await Promise.all(tokens.slice(-count).map((token) => stage.authenticate(token)));
    }
    const remembered = tokens.map((token) => stage.isRemembered(token));
    expect(remembered.indexOf(false)).to.be.within(0, 499);
    expect(remembered.filter((is) => is)).to.have.length(MAX_CACHED_BEARERS);
  });
});
