import { expect } from "chai";
import { invalidRequest, ServiceError, storeUnavailable } from "../src/errors.ts";

describe("invalidRequest", () => {
  it("lists every violation in the message and keeps them unchanged", () => {
    const violations = [
      { field: "tokens[0].jti", description: "must not be empty" },
      { field: "tokens[3].expires_at", description: "must be given with a jti" },
    ];
    const error = invalidRequest(violations);
    expect(error).to.be.instanceOf(ServiceError);
    expect({ reason: error.reason, message: error.message, violations: error.violations }).to.deep.equal({
      reason: "INVALID_REQUEST",
      message: "tokens[0].jti: must not be empty; tokens[3].expires_at: must be given with a jti",
      violations,
    });
  });

  it("has a short message and the whole list for any number of violations", () => {
    const violations = Array.from({ length: 3000 }, (_, index) => ({
      field: `tokens[${index}].jti`,
      description: "must not be empty",
    }));
    const { message, violations: kept } = invalidRequest(violations);
    expect({
      length: message.length,
      start: message.slice(0, 33),
      end: message.slice(-3),
      kept,
    }).to.deep.equal({
      length: 503,
      start: "tokens[0].jti: must not be empty;",
      end: "...",
      kept: violations,
    });
  });
});

describe("the message of an invalid request", () => {
  for (const [length, told] of [
    [500, 500],
    [501, 503],
  ] as const) {
    it(`of ${length} characters has ${told}`, () => {
      const { message } = invalidRequest([{ field: "f", description: "d".repeat(length - "f: ".length) }]);
      expect(message).to.have.length(told);
    });
  }
});

describe("storeUnavailable", () => {
  it("keeps its cause out of the message for callers", () => {
    const cause = new Error("connect ECONNREFUSED 10.0.0.7:3306");
    const {
      reason,
      message,
      cause: kept,
      violations,
    } = storeUnavailable("the database cannot be reached", cause);
    expect({ reason, message, kept, violations }).to.deep.equal({
      reason: "STORE_UNAVAILABLE",
      message: "the database cannot be reached",
      kept: cause,
      violations: [],
    });
  });
});
