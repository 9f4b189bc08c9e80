import { fromBinary, type Message } from "@bufbuild/protobuf";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { type StatusObject, status } from "@grpc/grpc-js";
import { expect } from "chai";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.js";
import { StatusSchema } from "../../gen/google/rpc/status_pb.js";
import {
  invalidRequest,
  type Reason,
  ServiceError,
  storeUnavailable,
  type Violation,
} from "../../src/errors.ts";
import { codeOf, presentable, statusOf } from "../../src/grpc/status.ts";

const SCHEMAS = [ErrorInfoSchema, BadRequestSchema, RetryInfoSchema];

/** The status as a client decodes it from the trailers. */
function decode({ metadata }: StatusObject): { code: number; message: string; details: unknown[] } {
  const bytes = metadata.get("grpc-status-details-bin")[0] as Buffer;
  const { code, message, details } = fromBinary(StatusSchema, bytes);
  return {
    code,
    message,
    details: details.map((any) => {
      const schema = SCHEMAS.find(({ typeName }) => any.typeUrl === `type.googleapis.com/${typeName}`);
      return schema === undefined ? any.typeUrl : plain(anyUnpack(any, schema) as Message);
    }),
  };
}

/** A message as plain fields, without the names of types. */
function plain(message: unknown): unknown {
  if (Array.isArray(message)) return message.map(plain);
  if (typeof message !== "object" || message === null) return message;
  const fields = Object.entries(message).filter(([name]) => !name.startsWith("$"));
  return Object.fromEntries(fields.map(([name, value]) => [name, plain(value)]));
}

/** Bytes of the trailers as HTTP/2 counts them. */
function trailerBytes({ code, details, metadata }: StatusObject): number {
  const headers = {
    "grpc-status": `${code}`,
    "grpc-message": encodeURI(details),
    ...metadata.toHttp2Headers(),
  };
  return Object.entries(headers)
    .flatMap(([name, value]) => [value].flat().map((text) => name.length + String(text).length + 32))
    .reduce((sum, size) => sum + size, 0);
}

describe("the status of a failed call", () => {
  const EXPECTED: Record<Reason, { code: status; retryAfterMs?: number }> = {
    INVALID_REQUEST: { code: status.INVALID_ARGUMENT },
    UNAUTHENTICATED: { code: status.UNAUTHENTICATED },
    PERMISSION_DENIED: { code: status.PERMISSION_DENIED },
    KEYS_UNAVAILABLE: { code: status.UNAVAILABLE, retryAfterMs: 1000 },
    QUOTA_EXCEEDED: { code: status.RESOURCE_EXHAUSTED, retryAfterMs: 1000 },
    STORE_UNAVAILABLE: { code: status.UNAVAILABLE, retryAfterMs: 500 },
    NOT_FRESH: { code: status.UNAVAILABLE, retryAfterMs: 500 },
    DRAINING: { code: status.UNAVAILABLE, retryAfterMs: 50 },
    REVISION_LOST: { code: status.FAILED_PRECONDITION },
    OVERLOADED: { code: status.RESOURCE_EXHAUSTED, retryAfterMs: 250 },
    UNSUPPORTED_ENCODING: { code: status.UNIMPLEMENTED },
    DEADLINE_EXCEEDED: { code: status.DEADLINE_EXCEEDED },
    CANCELLED: { code: status.CANCELLED },
    INTERNAL: { code: status.INTERNAL },
  };

  for (const [reason, { code, retryAfterMs }] of Object.entries(EXPECTED)) {
    it(`is ${status[code]} for ${reason}, with machine-readable details`, () => {
      const error = new ServiceError(reason as Reason, "what happened", { cause: new Error("c4n4ry") });
      const answer = statusOf(error);
      expect([answer.code, answer.details, codeOf(error), decode(answer)]).to.deep.equal([
        code,
        "what happened",
        code,
        {
          code,
          message: "what happened",
          details: [
            { reason, domain: "tokenblacklist", metadata: {} },
            ...(reason === "INVALID_REQUEST" ? [{ fieldViolations: [] }] : []),
            ...(retryAfterMs === undefined
              ? []
              : [
                  {
                    retryDelay: {
                      seconds: BigInt(Math.floor(retryAfterMs / 1000)),
                      nanos: (retryAfterMs % 1000) * 1_000_000,
                    },
                  },
                ]),
          ],
        },
      ]);
    });
  }

  it("names every violation of a request, with its reason if it has one", () => {
    const violations: Violation[] = [
      { field: "tokens[3].expires_at", description: "must be given with a jti" },
      { field: "tokens[4].jti", description: "must not be a token", reason: "RAW_TOKEN" },
    ];
    const { details } = decode(statusOf(invalidRequest(violations)));
    expect(details).to.deep.equal([
      { reason: "INVALID_REQUEST", domain: "tokenblacklist", metadata: {} },
      { fieldViolations: violations.map((violation) => ({ reason: "", ...violation })) },
    ]);
  });

  const SIZES = {
    short: { field: (index: number) => `jtis[${index}]`, description: "must not be empty" },
    long: {
      field: (index: number) => `tokens[${index}].expires_at`,
      description:
        "must not have passed already, leeway included (a token's exp counts seconds, not milliseconds)",
    },
  };
  for (const [size, { field, description }] of Object.entries(SIZES)) {
    it(`fits into the trailers that clients accept with 1000 ${size} violations, the last of which states how many are omitted`, () => {
      const violations = Array.from({ length: 1000 }, (_, index) => ({ field: field(index), description }));
      const answer = statusOf(invalidRequest(violations));
      const [, badRequest] = decode(answer).details as [unknown, { fieldViolations: Violation[] }];
      const told = badRequest.fieldViolations.map(({ field: path, description: text }) => ({
        field: path,
        description: text,
      }));
      const last = told.pop();
      expect(told.length).to.be.greaterThan(20);
      expect([told, last]).to.deep.equal([
        violations.slice(0, told.length),
        { field: "", description: `${1000 - told.length} more violations are left out` },
      ]);
      expect(trailerBytes(answer)).to.be.at.most(8192);
    });
  }

  it("never exceeds the size that clients accept, for any number of violations", () => {
    const sizes = Array.from({ length: 150 }, (_, count) => {
      const violations = Array.from({ length: count }, (_, index) => ({
        field: `tokens[${index}].jti`,
        description: "d".repeat(count),
      }));
      return trailerBytes(statusOf(invalidRequest(violations)));
    });
    expect(Math.max(...sizes)).to.be.at.most(8192);
  });
});

describe("an unexpected error", () => {
  for (const thrown of [
    new TypeError("SELECT c4n4ry"),
    "c4n4ry",
    undefined,
    null,
    { message: "c4n4ry", reason: "c4n4ry" },
  ]) {
    it(`is INTERNAL without details, and keeps its cause for the log: ${typeof thrown}`, () => {
      const error = presentable(thrown);
      expect([error.reason, error.message, error.cause]).to.deep.equal([
        "INTERNAL",
        "internal error",
        thrown,
      ]);
      const answer = statusOf(error);
      const trailers = JSON.stringify([answer.details, decode(answer), answer.metadata.getMap()]);
      expect(Buffer.from(trailers).includes("c4n4ry")).to.equal(false);
    });
  }

  it("does not replace an error of the service itself", () => {
    const error = storeUnavailable("away");
    expect(presentable(error)).to.equal(error);
  });
});
