import { create, fromBinary, type JsonValue, toBinary } from "@bufbuild/protobuf";
import { expect } from "chai";
import fc from "fast-check";
import { CheckRequestSchema } from "../../gen/envoy/service/auth/v3/external_auth_pb.js";
import {
  BlacklistRequestSchema,
  IsBlacklistedRequestSchema,
  StreamChecksRequestSchema,
} from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { withMaxFields, withoutExcess } from "../../src/grpc/bounded-decoding.ts";
import { MALFORMED } from "../../src/protobuf/service-definition.ts";
import { longStruct } from "../attacks/compressed-bodies.ts";

const JTIS = { number: IsBlacklistedRequestSchema.field.jtis.number };
const QUESTIONS_JTIS = { within: StreamChecksRequestSchema.field.question.number, ...JTIS };
const MOST = 5;

const jtis = fc.array(fc.string({ unit: "grapheme", maxLength: 300 }), { maxLength: 12 });

describe("a message with repeated fields", () => {
  it("keeps all elements up to the first above the limit, and all fields before it", () => {
    fc.assert(
      fc.property(jtis, (all) => {
        const request = create(IsBlacklistedRequestSchema, {
          jtis: all,
          freshness: { case: "atLeastRevision", value: "r" },
        });
        const kept = withoutExcess(Buffer.from(toBinary(IsBlacklistedRequestSchema, request)), JTIS, MOST);
        const decoded = fromBinary(IsBlacklistedRequestSchema, kept);
        expect(decoded.jtis).to.deep.equal(all.slice(0, MOST + 1));
        expect(decoded.freshness).to.deep.equal(request.freshness);
      }),
    );
  });

  it("is shortened within the nested message", () => {
    fc.assert(
      fc.property(jtis, fc.nat(), (all, id) => {
        const request = create(StreamChecksRequestSchema, { id, question: { jtis: all } });
        const bytes = Buffer.from(toBinary(StreamChecksRequestSchema, request));
        const decoded = fromBinary(StreamChecksRequestSchema, withoutExcess(bytes, QUESTIONS_JTIS, MOST));
        expect([decoded.id, decoded.question?.jtis]).to.deep.equal([id, all.slice(0, MOST + 1)]);
      }),
    );
  });

  it("is shortened within a nested message that occurs several times, whose elements decoders join", () => {
    fc.assert(
      fc.property(fc.array(jtis, { maxLength: 6 }), (questions) => {
        const bytes = Buffer.concat(
          questions.map((all) =>
            toBinary(
              StreamChecksRequestSchema,
              create(StreamChecksRequestSchema, { question: { jtis: all } }),
            ),
          ),
        );
        const decoded = fromBinary(StreamChecksRequestSchema, withoutExcess(bytes, QUESTIONS_JTIS, MOST));
        expect(decoded.question?.jtis ?? []).to.deep.equal(questions.flat().slice(0, MOST + 1));
      }),
    );
  });

  it("is unchanged if it cannot be parsed, so that the decoder reports why", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (random) => {
        const bytes = Buffer.from(random);
        const kept = withoutExcess(bytes, JTIS, 1000);
        expect(kept.equals(bytes)).to.equal(true);
      }),
      { numRuns: 2000 },
    );
  });

  it("is not read beyond the nested message for a last field that is truncated", () => {
    const head = Buffer.from([QUESTIONS_JTIS.within * 8 + 2]);
    const element = [JTIS.number * 8 + 2, 0];
    for (const [wireType, size] of [
      [1, 8],
      [5, 4],
    ] as const) {
      const nested = [...Array(MOST + 2).fill(element), 15 * 8 + wireType].flat();
      const bytes = Buffer.concat([head, Buffer.from([nested.length, ...nested]), Buffer.alloc(size)]);
      const kept = Array(MOST + 1)
        .fill(element)
        .flat();
      expect(withoutExcess(bytes, QUESTIONS_JTIS, MOST)).to.deep.equal(
        Buffer.concat([head, Buffer.from([kept.length, ...kept])]),
      );
    }
  });

  it("with two million empty tokens is shortened in milliseconds, and decoded to 1,001", () => {
    const bytes = Buffer.alloc(4 * 1024 * 1024);
    for (let at = 0; at < bytes.length; at += 2) bytes[at] = 0x0a;
    const number = BlacklistRequestSchema.field.tokens.number;
    const began = performance.now();
    const kept = withoutExcess(bytes, { number }, 1000);
    const decoded = fromBinary(BlacklistRequestSchema, kept);
    expect(decoded.tokens).to.have.length(1001);
    expect(performance.now() - began).to.be.below(100);
  });
});

describe("a message with many fields", () => {
  const DECODED = {};
  const isRefused = (most: number, bytes: Buffer) => {
    const decoded: unknown = withMaxFields(most, CheckRequestSchema)(() => DECODED)(bytes);
    expect(decoded).to.be.oneOf([DECODED, MALFORMED]);
    return decoded === MALFORMED;
  };
  const check = (values: unknown[], headers: Record<string, string> = {}) =>
    Buffer.from(
      toBinary(
        CheckRequestSchema,
        create(CheckRequestSchema, {
          attributes: {
            request: { http: { headers } },
            metadataContext: {
              filterMetadata: { "envoy.filters.http.jwt_authn": { list: values as JsonValue } },
            },
          },
        }),
      ),
    );

  it("is recognized at any nesting", () => {
    const values = Array.from({ length: 3000 }, (_, index) => index);
    // Each value is one field with one field in it.
    expect(isRefused(6000, check(values))).to.equal(true);
    expect(isRefused(6100, check(values))).to.equal(false);
    const headers = Object.fromEntries(values.map((value) => [`x-${value}`, "v"]));
    expect(isRefused(9000, check([], headers))).to.equal(true);
    expect(isRefused(9100, check([], headers))).to.equal(false);
  });

  it("is recognized with nested lists of two bytes per field", () => {
    let nested: unknown[] = Array.from({ length: 20_000 }, () => []);
    for (let depth = 0; depth < 40; depth++) nested = [nested];
    for (const bytes of [check(nested), longStruct(240 * 1024)]) {
      expect(isRefused(10_000, bytes)).to.equal(true);
    }
  });

  it("does not include malformed messages, so that the decoder reports why", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 50, maxLength: 400 }), (random) => {
        expect(isRefused(200, Buffer.from(random))).to.equal(false);
      }),
    );
  });
});
