import { expect } from "chai";
import { type AuthOutcome, withAuthenticationMetrics } from "../../src/auth/authentication-metrics.ts";
import type { Credentials } from "../../src/auth/authenticator.ts";
import { keysUnavailable, unauthenticated } from "../../src/errors.ts";
import { UNRESTRICTED_PRINCIPAL } from "../../src/principal.ts";
import { rejection } from "../support/rejection.ts";

const CREDENTIALS: Credentials = { authorization: [], certificate: () => undefined };

describe("an authenticator that is observed", () => {
  const errors: Record<Exclude<AuthOutcome, "known">, Error> = {
    refused: unauthenticated("no"),
    unavailable: keysUnavailable(),
    failed: new TypeError("nobody foresaw it"),
  };
  for (const [outcome, error] of Object.entries(errors)) {
    it(`tells once of a call that is ${outcome}, now or later, and throws what was thrown`, async () => {
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

  it("tells once of a caller who is known, and hands on who it is, without a promise where there was none", async () => {
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
