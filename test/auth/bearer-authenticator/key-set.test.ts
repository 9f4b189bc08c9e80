import { expect } from "chai";
import { KEYS_RETRY_MS, UNKNOWN_KEY_RELOAD_MS } from "../../../src/auth/jwks-cache.ts";
import { createSigningKey, keySetOf, signToken } from "../../support/issuer.ts";
import { rejection } from "../../support/rejection.ts";
import { BearerStage } from "./bearer-stage.ts";

describe("BearerAuthenticator", () => {
  let stage: BearerStage;

  beforeEach(async () => {
    stage = await BearerStage.start();
  });
  afterEach(() => stage.stop());

  describe("reads the key set", () => {
    it("for a token with a new key under an old name, and authenticates it at once", async () => {
      await stage.authenticate(await stage.tokenWith());
      const next = await createSigningKey("k1");
      stage.server.body = keySetOf(next);
      expect((await stage.authenticate(await signToken(next, stage.claims()))).name).to.equal("gateway");
      expect(stage.server.requests).to.equal(2);
    });

    it("for a token without a kid that fits no key, and authenticates it at once", async () => {
      await stage.authenticate(await stage.tokenWith());
      const next = await createSigningKey("k2");
      stage.server.body = keySetOf(next);
      const token = await signToken(next, stage.claims(), { kid: undefined });
      expect((await stage.authenticate(token)).name).to.equal("gateway");
    });

    it("for forged tokens only at a limited rate, and otherwise reports the time to wait", async () => {
      const forger = await createSigningKey("k1");
      await stage.idle();
      expect(await stage.refusal(await signToken(forger, stage.claims()))).to.match(/signature/);
      stage.clock.advance(1000);
      const error = await rejection(
        Promise.resolve(stage.authenticate(await signToken(forger, stage.claims()))),
      );
      expect(error).to.deep.include({
        ...{ reason: "KEYS_UNAVAILABLE", retryAfterMs: UNKNOWN_KEY_RELOAD_MS - 1000 },
      });
      stage.clock.advance(UNKNOWN_KEY_RELOAD_MS - 1000);
      expect(await stage.refusal(await signToken(forger, stage.claims()))).to.match(/signature/);
    });

    it("not for a token that no key could validate", async () => {
      const forger = await createSigningKey("k2");
      await stage.idle();
      for (const changed of [{ iss: "https://evil.example" }, { aud: "x" }, { exp: 1 }, { nbf: 9e9 }]) {
        await stage.refusal(await signToken(forger, stage.claims(changed)));
      }
      expect(stage.server.requests).to.equal(1);
    });
  });

  describe("without a key set", () => {
    beforeEach(async () => {
      stage.keys.stop();
      stage.server.status = 503;
      stage.restart();
    });

    it("reports KEYS_UNAVAILABLE instead of UNAUTHENTICATED until the keys are available", async () => {
      const token = await stage.tokenWith();
      for (const attempt of [stage.authenticate(token), stage.authenticate(token)]) {
        expect(await rejection(Promise.resolve(attempt))).to.include({ reason: "KEYS_UNAVAILABLE" });
      }
      stage.server.status = 200;
      await stage.idle();
      stage.clock.advance(KEYS_RETRY_MS);
      expect((await stage.authenticate(token)).name).to.equal("gateway");
    });

    it("still refuses a token that no key could validate", async () => {
      expect(await stage.refusal("c4n4ry")).to.match(/must be a signed JWT/);
    });
  });
});
