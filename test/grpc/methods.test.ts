import type { DescMessage, DescMethod } from "@bufbuild/protobuf";
import { expect } from "chai";
import { Authorization } from "../../gen/envoy/service/auth/v3/external_auth_pb.js";
import { TokenBlacklist } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { boundedDecoding } from "../../src/grpc/authenticated-service.ts";
import { AUTHORIZATION_RULES, type MethodTable, TOKEN_BLACKLIST_RULES } from "../../src/grpc/methods.ts";
import { MAX_FIELDS } from "../../src/limits.ts";

describe("the table of methods", () => {
  it("has every method of the services, and no other", () => {
    for (const [{ methods }, table] of [
      [TokenBlacklist, TOKEN_BLACKLIST_RULES],
      [Authorization, AUTHORIZATION_RULES],
    ] as const) {
      expect(Object.keys(table).sort()).to.deep.equal(methods.map(({ localName }) => localName).sort());
    }
  });

  it("does not compile without a method, or without a decision about the caller's own token", () => {
    const { prune, watch, ...others } = TOKEN_BLACKLIST_RULES;
    const { ownToken: _, ...undecided } = prune;
    const { ownToken: __, ...undecidedStream } = watch;
    // @ts-expect-error: a unary method is missing.
    const withoutMethod: MethodTable<typeof TokenBlacklist> = { ...others, watch };
    // @ts-expect-error: a method with streams is missing.
    const withoutStream: MethodTable<typeof TokenBlacklist> = { ...others, prune };
    // @ts-expect-error: it is not declared when the caller's own token is looked up.
    const withoutDecision: MethodTable<typeof TokenBlacklist> = { ...others, watch, prune: undecided };
    // @ts-expect-error: the same for streams.
    const ofStream: MethodTable<typeof TokenBlacklist> = { ...others, prune, watch: undecidedStream };
    expect([withoutMethod, withoutStream, withoutDecision, ofStream]).to.have.length(4);
  });

  it("bounds the fields that are decoded, whichever field of a request is repeated, nested or unknown", () => {
    for (const [service, table] of [
      [TokenBlacklist, TOKEN_BLACKLIST_RULES],
      [Authorization, AUTHORIZATION_RULES],
    ] as const) {
      for (const method of service.methods) {
        const rules = table[
          method.localName as keyof typeof table
        ] as (typeof TOKEN_BLACKLIST_RULES)["blacklist"];
        for (const bytes of repetitions(method, rules.maxBytes)) {
          let decoded = 0;
          boundedDecoding(method, rules, (kept) => {
            decoded = kept.length;
            return {};
          })(Buffer.from(bytes));
          // A field takes two bytes here, and one that holds a message up to six.
          expect(
            decoded,
            `${method.name}: ${Buffer.from(bytes.subarray(0, 8)).toString("hex")}`,
          ).to.be.at.most(6 * (rules.maxFields ?? MAX_FIELDS));
        }
      }
    }
  });
});

/** Requests full of one field, of one that is nested in another, or of the other with a few of these. */
function* repetitions({ input }: DescMethod, maxBytes: number): Generator<Uint8Array> {
  const numbers = (desc: DescMessage) => [...desc.fields.map(({ number }) => number), UNKNOWN];
  const full = (unit: Uint8Array) => Buffer.alloc(maxBytes - 16, unit);
  for (const number of numbers(input)) {
    yield full(field(number));
    const nested = input.fields.find((one) => one.number === number)?.message;
    if (nested === undefined) continue;
    for (const inner of numbers(nested)) {
      yield field(number, full(field(inner)));
      yield full(field(number, field(inner)));
      yield full(field(number, Buffer.alloc(1800, field(inner))));
    }
  }
}

const UNKNOWN = 15;

/** An encoded field with this content, whose number is below 16. */
function field(number: number, content: Uint8Array = Buffer.alloc(0)): Uint8Array {
  const length: number[] = [];
  let rest = content.length;
  for (; rest > 0x7f; rest >>>= 7) length.push((rest & 0x7f) | 0x80);
  return Buffer.concat([Buffer.of(number * 8 + 2, ...length, rest), content]);
}
