import { create, toBinary } from "@bufbuild/protobuf";
import { expect } from "chai";
import {
  BlacklistRequestSchema,
  IsBlacklistedRequestSchema,
  ListRequestSchema,
  PruneRequestSchema,
  Verdict,
} from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { Asker } from "../support/asker.ts";
import { framed, Http2Connection } from "../support/http2-call.ts";
import { methodPath, RawChannel } from "../support/raw-channel.ts";
import { type RunningService, startService } from "../support/service.ts";
import { freshFolder } from "../support/shared.ts";
import { Watcher } from "../support/watcher.ts";

const DAY_MS = 86_400_000;
const BODIES = {
  Blacklist: toBinary(
    BlacklistRequestSchema,
    create(BlacklistRequestSchema, {
      tokens: [{ token: { case: "jti", value: "a" }, expiresAt: { seconds: 4_102_444_800n } }],
    }),
  ),
  IsBlacklisted: toBinary(IsBlacklistedRequestSchema, create(IsBlacklistedRequestSchema, { jtis: ["b"] })),
  List: toBinary(ListRequestSchema, create(ListRequestSchema)),
  Prune: toBinary(PruneRequestSchema, create(PruneRequestSchema, { dryRun: true })),
};

describe("a deadline beyond the maximum of a timer", () => {
  let running: RunningService;
  let http2: Http2Connection;
  let channel: RawChannel;

  before(async () => {
    running = await startService({ url: `sqlite:${await freshFolder()}/x.db` });
    await running.indexLoaded();
    http2 = await Http2Connection.open(running.address);
    channel = new RawChannel(running.address);
  });

  after(async () => {
    channel.close();
    await http2.close();
    await running.stop();
  });

  // At 24.85 days 32 bits overflow; every second multiple of that would appear to be in the future nevertheless.
  for (const timeout of [
    "2147484S",
    "2592000S",
    "720H",
    "43200M",
    "5184000S",
    "99999999S",
    "99999999M",
    "99999999H",
    // In no specification, but accepted by grpc-js.
    "720 H",
    "2592000000m",
    "10000000000S",
  ]) {
    it(`is accepted by every method (${timeout})`, async () => {
      const codes = await Promise.all(
        Object.entries(BODIES).map(async ([method, body]) => {
          const path = methodPath(method as keyof typeof BODIES);
          return [method, (await http2.send(path, framed(body), { "grpc-timeout": timeout })).code];
        }),
      );
      expect(Object.fromEntries(codes)).to.deep.equal({
        Blacklist: "OK",
        IsBlacklisted: "OK",
        List: "OK",
        Prune: "OK",
      });
    });
  }

  it("is accepted by health and reflection", async () => {
    const paths = ["/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/List"];
    const ended = paths.map((path) => http2.send(path, framed(new Uint8Array()), { "grpc-timeout": "720H" }));
    expect((await Promise.all(ended)).map(({ code }) => code)).to.deep.equal(["OK", "OK"]);
  });

  for (const days of [25, 30, 50, 400]) {
    it(`is accepted for calls and streams of checks if it is ${days} days ahead`, async () => {
      const timeoutMs = days * DAY_MS;
      const { code } = await channel.call(methodPath("List"), BODIES.List, { timeoutMs });
      const asker = new Asker(channel, { timeoutMs });
      const outcome = await asker.ask({ jtis: ["absent"] });
      asker.stream.end();
      const answer = outcome as { verdicts: readonly Verdict[] };
      expect([code, answer.verdicts, (await asker.ended).code]).to.deep.equal([
        "OK",
        [Verdict.NOT_BLACKLISTED],
        "OK",
      ]);
    });
  }

  it("keeps a Watch open", async () => {
    const watcher = new Watcher(channel, { timeoutMs: 30 * DAY_MS });
    watcher.start();
    await watcher.complete();
    const proof = await watcher.sync();
    watcher.stream.end();
    expect([proof, (await watcher.ended).code]).to.deep.equal(["synced", "OK"]);
  });

  it("does not affect calls with a near deadline", async () => {
    const [asker, watcher] = [
      new Asker(channel, { timeoutMs: 200 }),
      new Watcher(channel, { timeoutMs: 200 }),
    ];
    const ends = await Promise.all([asker.ended, watcher.ended]);
    expect(ends.map(({ code }) => code)).to.deep.equal(["DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED"]);
  });
});
