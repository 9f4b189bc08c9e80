import { expect } from "chai";
import { type AuthOutcome, withAuthenticationMetrics } from "../../src/auth/authentication-metrics.ts";
import type { Credentials } from "../../src/auth/authenticator.ts";
import { UNRESTRICTED_PRINCIPAL } from "../../src/caller.ts";
import { keysUnavailable, unauthenticated } from "../../src/errors.ts";
import { rejection } from "../support/rejection.ts";

const CREDENTIALS: Credentials = { authorization: [], certificate: () => undefined };

describe("withAuthenticationMetrics", () => {
  const errors: Record<Exclude<AuthOutcome, "known">, Error> = {
    refused: unauthenticated("no"),
    unavailable: keysUnavailable(),
    failed: new TypeError("unexpected"),
  };
  for (const [outcome, error] of Object.entries(errors)) {
    it(`reports an outcome of ${outcome} once, synchronously or not, and rethrows the error`, async () => {
      const told: AuthOutcome[] = [];
      const now = withAuthenticationMetrics(
        () => {
          throw error;
        },
        (one) => told.push(one),
      );
      expect(() => now(CREDENTIALS)).to.throw(error);
      const later = withAuthenticationMetrics(
        () => Promise.reject(error),
        (one) => told.push(one),
      );
      expect(await rejection(Promise.resolve(later(CREDENTIALS)))).to.equal(error);
      expect(told).to.deep.equal([outcome, outcome]);
    });
  }

  it("reports an authenticated caller once, and returns the principal without an added promise", async () => {
    const told: AuthOutcome[] = [];
    const tell = (one: AuthOutcome) => told.push(one);
    expect(withAuthenticationMetrics(() => UNRESTRICTED_PRINCIPAL, tell)(CREDENTIALS)).to.equal(
      UNRESTRICTED_PRINCIPAL,
    );
    expect(await withAuthenticationMetrics(async () => UNRESTRICTED_PRINCIPAL, tell)(CREDENTIALS)).to.equal(
      UNRESTRICTED_PRINCIPAL,
    );
    expect(told).to.deep.equal(["known", "known"]);
  });
});
