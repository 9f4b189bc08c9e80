import { create, type MessageInitShape, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { expect } from "chai";
import fc from "fast-check";
import {
  BlacklistRequestSchema,
  IsBlacklistedRequestSchema,
  IsBlacklistedResponseSchema,
  TokenBlacklist,
  Verdict,
} from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { MALFORMED, serviceDefinition } from "../../src/protobuf/service-definition.ts";

const definition = serviceDefinition(TokenBlacklist);

function method(name: string) {
  const found = definition[name];
  if (found === undefined) throw new Error(`no method ${name}`);
  return found;
}

describe("serviceDefinition", () => {
  it("has every method at the path of the contract", () => {
    const methods = Object.entries(definition).map(
      ([name, { path, originalName, requestStream, responseStream }]) => [
        name,
        { path, originalName, requestStream, responseStream },
      ],
    );
    const unary = { requestStream: false, responseStream: false };
    const both = { requestStream: true, responseStream: true };
    const service = "/tokenblacklist.v1.TokenBlacklist";
    expect(methods).to.deep.equal([
      ["blacklist", { path: `${service}/Blacklist`, originalName: "blacklist", ...unary }],
      ["isBlacklisted", { path: `${service}/IsBlacklisted`, originalName: "isBlacklisted", ...unary }],
      ["list", { path: `${service}/List`, originalName: "list", ...unary }],
      ["prune", { path: `${service}/Prune`, originalName: "prune", ...unary }],
      ["watch", { path: `${service}/Watch`, originalName: "watch", ...both }],
      ["streamChecks", { path: `${service}/StreamChecks`, originalName: "streamChecks", ...both }],
    ]);
  });

  for (const { localName, input, output } of TokenBlacklist.methods) {
    it(`round-trips an empty ${input.name} and an empty ${output.name}`, () => {
      const { requestSerialize, requestDeserialize, responseSerialize, responseDeserialize } =
        method(localName);
      expect([
        requestDeserialize(requestSerialize({})),
        responseDeserialize(responseSerialize({})),
      ]).to.deep.equal([create(input), create(output)]);
    });
  }

  it("round-trips messages with any text and nested fields", () => {
    const { requestSerialize, requestDeserialize } = method("blacklist");
    const text = fc.string({ unit: "binary" }).map((units) => units.toWellFormed());
    const token = fc.record({
      jti: text,
      reason: text,
      seconds: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    });
    fc.assert(
      fc.property(fc.array(token), (tokens) => {
        const init: MessageInitShape<typeof BlacklistRequestSchema> = {
          tokens: tokens.map(({ jti, reason, seconds }) => ({
            token: { case: "jti" as const, value: jti },
            expiresAt: { seconds, nanos: 0 },
            reason,
          })),
        };
        const message = create(BlacklistRequestSchema, init);
        const read = [init, message].map((value) => requestDeserialize(requestSerialize(value)));
        expect(read).to.deep.equal([message, message]);
      }),
    );
  });

  it("writes a Buffer, as grpc-js requires", () => {
    const bytes = method("isBlacklisted").responseSerialize({
      verdicts: [Verdict.BLACKLISTED],
      revision: "7",
    });
    const message = create(IsBlacklistedResponseSchema, { verdicts: [Verdict.BLACKLISTED], revision: "7" });
    expect([
      Buffer.isBuffer(bytes),
      bytes.equals(toBinary(IsBlacklistedResponseSchema, message)),
    ]).to.deep.equal([true, true]);
  });

  // Field 1, length-delimited: `jtis` of IsBlacklistedRequest.
  const jti = (...bytes: number[]) => Buffer.from([0x0a, bytes.length, ...bytes]);
  const BROKEN = {
    "a byte of UTF-8 missing": jti(0xc3),
    "a byte that no UTF-8 has": jti(0x61, 0xff),
    "an overlong encoding": jti(0xc0, 0x80),
    "an encoded surrogate": jti(0xed, 0xa0, 0x80),
    "a length beyond the end": Buffer.from([0x0a, 0x05, 0x61]),
    "an endless number": Buffer.alloc(11, 0xff),
    "a tag alone": Buffer.from([0x0a]),
    "field number 0": Buffer.from([0x02, 0x00]),
    "a wire type that does not exist": Buffer.from([0x0f]),
    "a group without an end": Buffer.from([0x0b]),
  };
  for (const [what, bytes] of Object.entries(BROKEN)) {
    it(`reads a request with ${what} as malformed without throwing`, () => {
      expect(method("isBlacklisted").requestDeserialize(bytes)).to.equal(MALFORMED);
    });
  }

  it("reads arbitrary bytes as a request with well-formed text, or as malformed", () => {
    const { requestDeserialize } = method("isBlacklisted");
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        const read = requestDeserialize(Buffer.from(bytes)) as unknown;
        if (read === MALFORMED) return;
        const { jtis } = read as MessageShape<typeof IsBlacklistedRequestSchema>;
        expect(jtis.every((text) => text.isWellFormed())).to.equal(true);
      }),
      { numRuns: 2000 },
    );
  });

  it("keeps a leading byte order mark, which is part of a jti", () => {
    const read = method("isBlacklisted").requestDeserialize(jti(0xef, 0xbb, 0xbf, 0x61));
    expect(read).to.deep.equal(create(IsBlacklistedRequestSchema, { jtis: ["\uFEFFa"] }));
  });

  it("throws on a malformed response, which a client must not accept", () => {
    expect(() => method("isBlacklisted").responseDeserialize(Buffer.from([0x0a, 0x05]))).to.throw();
  });
});
