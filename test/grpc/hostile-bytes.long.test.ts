import { gzipSync } from "node:zlib";
import { create, toBinary } from "@bufbuild/protobuf";
import { expect } from "chai";
import { after, before, describe, it } from "mocha";
import {
  BlacklistRequestSchema,
  IsBlacklistedRequestSchema,
  ListRequestSchema,
  PruneRequestSchema,
} from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { MAX_REQUEST_BYTES, MAX_SMALL_REQUEST_BYTES, MAX_TINY_REQUEST_BYTES } from "../../src/limits.ts";
import { backends, type FreshDatabase } from "../support/backends.ts";
import { framed, Http2Connection } from "../support/http2-call.ts";
import { methodPath, RawChannel } from "../support/raw-channel.ts";
import { YEAR_2100 } from "../support/revoke.ts";
import { randomFor } from "../support/seed.ts";
import { type RunningService, startService } from "../support/service.ts";
import { detailsOf, readDetails } from "../support/status-details.ts";

const METHODS = ["Blacklist", "IsBlacklisted", "List", "Prune"] as const;

/** Well-formed requests, which the fuzzer damages. */
const REQUESTS: Record<(typeof METHODS)[number], Uint8Array> = {
  Blacklist: toBinary(
    BlacklistRequestSchema,
    create(BlacklistRequestSchema, {
      tokens: [
        { token: { case: "jti", value: "fuzz-1" }, expiresAt: YEAR_2100, reason: "stolen" },
        { token: { case: "jti", value: "é𝄞" }, expiresAt: { ...YEAR_2100, nanos: 5 } },
        { token: { case: "jwt", value: "e30.e30." } },
      ],
    }),
  ),
  IsBlacklisted: toBinary(
    IsBlacklistedRequestSchema,
    create(IsBlacklistedRequestSchema, {
      jtis: ["fuzz-1", "é𝄞", "x"],
      freshness: { case: "maxStaleness", value: { seconds: 1n, nanos: 5 } },
    }),
  ),
  List: toBinary(
    ListRequestSchema,
    create(ListRequestSchema, {
      pageSize: 3,
      includeExpired: true,
      createdAfter: { seconds: 5n },
      createdBefore: YEAR_2100,
      revokedBy: "é",
      jtis: ["fuzz-1"],
    }),
  ),
  Prune: toBinary(
    PruneRequestSchema,
    create(PruneRequestSchema, { maxCount: 3, dryRun: true, expiredBefore: YEAR_2100 }),
  ),
};

/** Requests that are OK, and remain so with an unknown field. */
const REQUESTS_TO_PAD: Record<(typeof METHODS)[number], Uint8Array> = {
  ...REQUESTS,
  Blacklist: toBinary(
    BlacklistRequestSchema,
    create(BlacklistRequestSchema, {
      tokens: [{ token: { case: "jti", value: "pad" }, expiresAt: YEAR_2100 }],
    }),
  ),
};

/** A length-delimited field: field number, then the bytes. */
function field(number: number, content: readonly number[]): number[] {
  return [(number << 3) | 2, content.length, ...content];
}

const BAD_TEXT: Record<string, number[]> = {
  "a lone continuation byte": [0x80],
  "a sequence cut short": [0xe2, 0x82],
  "an overlong slash": [0xc0, 0xaf],
  "an overlong NUL": [0xc0, 0x80],
  "a high surrogate on its own": [0xed, 0xa0, 0x80],
  "a low surrogate on its own": [0xed, 0xbf, 0xbf],
  "a surrogate pair, each half encoded": [0xed, 0xa0, 0x80, 0xed, 0xb0, 0x80],
  "a code point above U+10FFFF": [0xf4, 0x90, 0x80, 0x80],
  "a byte that UTF-8 does not have": [0xff],
};

for (const backend of backends) {
  describe(`bytes that are not a request (${backend.name})`, () => {
    let database: FreshDatabase;
    let running: RunningService;
    let channel: RawChannel;
    let http2: Http2Connection;

    before(async () => {
      database = await backend.create();
      running = await startService({ url: database.url });
      channel = new RawChannel(running.address);
      http2 = await Http2Connection.open(running.address);
    });
    after(async () => {
      channel?.close();
      await http2?.close();
      await running?.stop();
      await database?.dispose();
    });

    async function expectAlive(): Promise<void> {
      const { verdicts } = await running.client.isBlacklisted({ jtis: ["is it alive?"] });
      expect(verdicts).to.have.length(1);
    }

    for (const method of METHODS) {
      it(`are INVALID_ARGUMENT with details as a message of ${method}`, async () => {
        const message = `: the message is not a well-formed tokenblacklist.v1.${method}Request`;
        for (const bytes of [
          [0x0a],
          [0xff],
          [0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x00],
          [0x0f],
          [0x00, 0x00],
        ]) {
          const { code, ...answer } = await channel.call(methodPath(method), Uint8Array.from(bytes));
          expect({ sent: bytes, code, ...detailsOf(answer) }).to.deep.equal({
            ...{ sent: bytes, code: 3, message, reason: "INVALID_REQUEST", domain: "tokenblacklist" },
            violations: [["", message.slice(2)]],
          });
          expect(code).to.equal("INVALID_ARGUMENT");
        }
      });
    }

    for (const [name, bytes] of Object.entries(BAD_TEXT)) {
      it(`are refused in every text of a request: ${name}`, async () => {
        const token = [...field(1, bytes), ...field(3, [0x08, 0x80, 0x8c, 0xac, 0xe9, 0x0f])];
        const requests: [(typeof METHODS)[number], number[]][] = [
          ["Blacklist", field(1, token)],
          ["Blacklist", field(1, field(2, bytes))],
          ["Blacklist", field(1, [...field(1, [0x61]), ...field(4, bytes)])],
          ["IsBlacklisted", field(1, bytes)],
          ["IsBlacklisted", [...field(1, [0x61]), ...field(2, bytes)]],
          ["List", field(2, bytes)],
          ["List", field(6, bytes)],
          ["List", field(7, bytes)],
        ];
        for (const [method, request] of requests) {
          const { code, metadata } = await channel.call(methodPath(method), Uint8Array.from(request));
          expect([method, request, code]).to.deep.equal([method, request, "INVALID_ARGUMENT"]);
          expect(detailsOf({ metadata })).to.include({ reason: "INVALID_REQUEST" });
        }
      });
    }

    it("are accepted as unknown fields, as protobuf requires", async () => {
      const bytes = Uint8Array.from([...field(1, [0x61]), ...field(15, [1, 2, 3])]);
      expect(await channel.call(methodPath("IsBlacklisted"), bytes)).to.include({ code: "OK" });
    });

    it("are INVALID_ARGUMENT with details as a damaged request or random message, unless they can be decoded", async function () {
      this.timeout(60_000);
      const random = randomFor(this.test?.fullTitle() ?? "");
      const codes = new Map<string, number>();
      for (let round = 0; round < 40; round++) {
        await Promise.all(
          Array.from({ length: 100 }, async () => {
            const method = METHODS[Math.floor(random() * METHODS.length)] as (typeof METHODS)[number];
            const bytes = spoil(REQUESTS[method], random);
            const { code, metadata } = await channel.call(methodPath(method), bytes, { timeoutMs: 20_000 });
            codes.set(code, (codes.get(code) ?? 0) + 1);
            if (code === "OK") return;
            const sent = Buffer.from(bytes).toString("hex");
            expect({ method, sent, code, ...detailsOf({ metadata }) }).to.include({
              ...{ method, sent, code: 3, reason: "INVALID_REQUEST", domain: "tokenblacklist" },
            });
          }),
        );
      }
      expect([...codes.keys()].sort()).to.deep.equal(["INVALID_ARGUMENT", "OK"]);
      expect(Math.min(...codes.values())).to.be.above(100);
      await expectAlive();
    });

    it("do no harm as frames that are not gRPC's", async function () {
      this.timeout(60_000);
      const random = randomFor(this.test?.fullTitle() ?? "");
      const path = methodPath("IsBlacklisted");
      const good = framed(REQUESTS.IsBlacklisted);
      const bodies = [
        Buffer.alloc(0),
        Buffer.from([0]),
        good.subarray(0, -1),
        framed(REQUESTS.IsBlacklisted, { length: 0xffffffff }),
        Buffer.concat([good, good]),
        Buffer.concat([good, Buffer.from([0, 0])]),
        ...Array.from({ length: 500 }, () => spoil(good, random)),
      ];
      for (const body of bodies) {
        const { code, details } = await http2.send(path, body);
        const sent = Buffer.from(body).toString("hex").slice(0, 200);
        expect(code, sent).to.be.oneOf(["OK", "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED", "UNIMPLEMENTED"]);
        if (code === "INVALID_ARGUMENT")
          expect(readDetails(details as Buffer).reason).to.equal("INVALID_REQUEST");
      }
      await expectAlive();
    });

    it("do no harm as headers that are not gRPC's", async () => {
      const path = methodPath("IsBlacklisted");
      const good = framed(REQUESTS.IsBlacklisted);
      const headers: Record<string, string>[] = [
        { "grpc-timeout": "soon" },
        { "grpc-timeout": "\x80\xff" },
        { "grpc-timeout": "99999999H" },
        { "grpc-timeout": "0n" },
        { "grpc-encoding": "brotli" },
        { "content-type": "text/plain" },
        { "x-odd-bin": "not base64!" },
      ];
      for (const extra of headers) await http2.send(path, good, extra);
      for (const odd of ["/", "/%", "/%ED%A0%80/x", "/\xff", "*"]) await http2.send(odd, good);
      await expectAlive();
    });

    for (const [method, most] of [
      ["IsBlacklisted", MAX_SMALL_REQUEST_BYTES],
      ["List", MAX_SMALL_REQUEST_BYTES],
      ["Prune", MAX_TINY_REQUEST_BYTES],
      ["Blacklist", MAX_REQUEST_BYTES],
    ] as const) {
      it(`are accepted for ${method} up to ${most}, and refused above`, async () => {
        // Padded with an unknown field.
        const padded = (size: number) => {
          const request = Buffer.from(REQUESTS_TO_PAD[method]);
          const rest = size - request.length - 1;
          const length = rest - varint(rest).length;
          const head = [...varint((15 << 3) | 2), ...varint(length)];
          return Buffer.concat([
            request,
            Buffer.from(head),
            Buffer.alloc(size - request.length - head.length),
          ]);
        };
        const path = methodPath(method);
        const taken = await channel.call(path, padded(most));
        expect(detailsOf(taken)?.violations ?? []).to.deep.equal([]);
        expect(taken.code).to.equal("OK");
        const { code } = await channel.call(path, padded(most + 1));
        // The largest maximum is grpc-js's own.
        expect(code).to.equal(most === MAX_REQUEST_BYTES ? "RESOURCE_EXHAUSTED" : "INVALID_ARGUMENT");
        await expectAlive();
      });
    }

    it("are refused before decompression, with the accepted encodings", async () => {
      const bomb = framed(gzipSync(Buffer.alloc(64 * 1024 * 1024)), { compressed: true });
      for (const encoding of ["gzip", "deflate", "brotli"]) {
        for (const method of METHODS) {
          const answer = await http2.send(methodPath(method), bomb, { "grpc-encoding": encoding });
          expect(answer).to.include({ code: "UNIMPLEMENTED", accepts: "identity" });
        }
      }
      await expectAlive();
    });

    it("do no harm if compressed and truncated, or only declared as compressed", async () => {
      const path = methodPath("IsBlacklisted");
      const whole = gzipSync(Buffer.from(field(1, [0x61])));
      for (const encoding of ["gzip", "deflate", "identity"]) {
        for (const content of [whole.subarray(0, -4), Buffer.from("plain"), Buffer.alloc(0)]) {
          await http2.send(path, framed(content, { compressed: true }), { "grpc-encoding": encoding });
        }
      }
      await expectAlive();
    });

    for (const path of ["/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"]) {
      it(`do no harm at ${path}`, async function () {
        const random = randomFor(this.test?.fullTitle() ?? "");
        const names = Object.values(BAD_TEXT).map((bytes) => Uint8Array.from(field(1, bytes)));
        const junk = Array.from({ length: 200 }, () => spoil(Uint8Array.from(field(1, [0x61])), random));
        await Promise.all([...names, ...junk].map((bytes) => channel.call(path, bytes, { timeoutMs: 500 })));
        await expectAlive();
      });
    }

    it("do no harm at the reflection service", async function () {
      const random = randomFor(this.test?.fullTitle() ?? "");
      const texts = [3, 4, 6, 7].flatMap((number) =>
        Object.values(BAD_TEXT).map((bytes) => field(number, bytes)),
      );
      const junk = Array.from({ length: 200 }, () => spoil(Uint8Array.from(field(4, [0x61])), random));
      for (const version of ["v1", "v1alpha"]) {
        const path = `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`;
        for (const bytes of [...texts.map((text) => Uint8Array.from(text)), ...junk]) {
          await http2.send(path, framed(bytes));
        }
      }
      await expectAlive();
    });
  });
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  for (let rest = value; ; rest >>>= 7) {
    if (rest < 0x80) return [...bytes, rest];
    bytes.push((rest & 0x7f) | 0x80);
  }
}

/** Changed, truncated, doubled, or replaced. */
function spoil(good: Uint8Array, random: () => number): Uint8Array {
  const byte = () => Math.floor(random() * 256);
  if (random() < 0.2) return Uint8Array.from({ length: Math.floor(random() * 64) }, byte);
  let bytes = [...good];
  for (let edits = 1 + Math.floor(random() * 3); edits > 0; edits--) {
    const at = Math.floor(random() * (bytes.length + 1));
    const kind = random();
    if (kind < 0.4 && at < bytes.length) bytes[at] = byte();
    else if (kind < 0.6 && at < bytes.length)
      bytes[at] = (bytes[at] as number) ^ (1 << Math.floor(random() * 8));
    else if (kind < 0.7) bytes.splice(at, 0, byte());
    else if (kind < 0.8) bytes.splice(at, 1);
    else if (kind < 0.9) bytes = bytes.slice(0, at);
    else bytes = [...bytes, ...bytes.slice(at)];
  }
  return Uint8Array.from(bytes);
}
