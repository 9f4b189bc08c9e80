import { expect } from "chai";
import { EntryKind, TokenBlacklist } from "../../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { encode } from "../../../src/protobuf/service-definition.ts";
import { backends } from "../../support/backends.ts";
import { randomFor } from "../../support/seed.ts";
import { ends } from "../../support/stream-end.ts";
import { until } from "../../support/until.ts";
import { startMessage, Watcher } from "../../support/watcher.ts";
import { revoke, WatchStage, watchersOf } from "./watch-stage.ts";

for (const backend of backends) {
  describe(`Watch on ${backend.name}`, function () {
    this.timeout(60_000);
    let stage: WatchStage;

    beforeEach(async () => {
      stage = await WatchStage.on(backend);
    });
    afterEach(() => stage.close());

    it("refuses invalid messages with an explanation", async () => {
      const service = await stage.start();
      const channel = stage.connect(service);
      const key = new Uint8Array(32);
      const revision = `1-${"0".repeat(16)}`;
      const sync = (id: bigint) => ({ case: "sync", value: { id } });
      const begun = (watcher: Watcher) => watcher.start();
      const cases: Record<string, { say: (one: Watcher) => void; fields: string[] }> = {
        "sync first": { say: (one) => one.send(sync(1n)), fields: ["request"] },
        "nothing set": { say: (one) => one.stream.write(Buffer.alloc(0)), fields: ["request"] },
        "two starts": { say: (one) => [begun(one), begun(one)], fields: ["request"] },
        "nothing set later": {
          say: (one) => [begun(one), one.stream.write(Buffer.alloc(0))],
          fields: ["request"],
        },
        "an id of 0": { say: (one) => [begun(one), one.send(sync(0n))], fields: ["sync.id"] },
        "an id that repeats": {
          say: (one) => [begun(one), one.send(sync(3n)), one.send(sync(3n))],
          fields: ["sync.id"],
        },
        "an id that falls": {
          say: (one) => [begun(one), one.send(sync(3n)), one.send(sync(2n))],
          fields: ["sync.id"],
        },
        "bytes that are no message": { say: (one) => one.stream.write(Buffer.from([0xff])), fields: [""] },
        "bytes that are no message, later": {
          say: (one) => [begun(one), one.stream.write(Buffer.from([0x0a, 5, 1]))],
          fields: [""],
        },
        "no kinds": { say: (one) => one.start({ entryKinds: [] }), fields: ["start.entry_kinds"] },
        "another kind alone": {
          say: (one) => one.start({ entryKinds: [99 as EntryKind, EntryKind.UNSPECIFIED] }),
          fields: ["start.entry_kinds"],
        },
        "a revision that is none": {
          say: (one) => one.start({ revision: "7", key }),
          fields: ["start.revision"],
        },
        "a revision without a key": { say: (one) => one.start({ revision }), fields: ["start.key"] },
        "a short key": {
          say: (one) => one.start({ revision, key: key.subarray(1) }),
          fields: ["start.key"],
        },
        "all of it": {
          say: (one) => one.start({ revision: "x", key: Uint8Array.of(1), entryKinds: [] }),
          fields: ["start.entry_kinds", "start.revision", "start.key"],
        },
      };
      await Promise.all(
        Object.entries(cases).map(async ([name, { say, fields }]) => {
          const watcher = new Watcher(channel);
          say(watcher);
          expect(await watcher.ended, name).to.deep.equal(
            ends("INVALID_ARGUMENT", "INVALID_REQUEST", ...fields),
          );
        }),
      );
      await until(async () => (await watchersOf(service)) === 0, { withinMs: 2000, what: "no watcher left" });
    });

    it("survives arbitrary bytes: every stream is refused or served", async () => {
      const service = await stage.start();
      const channel = stage.connect(service);
      const random = randomFor("hostile watch");
      const sync = encode(TokenBlacklist.method.watch.input, {
        request: { case: "sync", value: { id: 300n } },
      });
      const copy = { revision: `1-${"0".repeat(16)}`, key: new Uint8Array(32) };
      const starts = [startMessage(), startMessage(copy)];
      const codes = new Set<string>();
      for (let round = 0; round < 20; round++) {
        const streams = Array.from({ length: 25 }, () => {
          const watcher = new Watcher(channel);
          for (const message of [starts[Math.floor(random() * starts.length)] as Buffer, sync]) {
            const bytes = Buffer.from(message);
            for (let flips = Math.floor(random() * 3); flips > 0; flips--)
              bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
            watcher.stream.write(
              random() < 0.1 ? bytes.subarray(Math.floor(random() * bytes.length)) : bytes,
            );
          }
          watcher.stream.end();
          return watcher;
        });
        for (const { ended } of streams) codes.add((await ended).code);
      }
      expect([...codes].sort()).to.deep.equal(["INVALID_ARGUMENT", "OK"]);
      expect([await watchersOf(service), await stage.watch(service).sync()]).to.deep.equal([0, "synced"]);
    });

    it("puts no keys, fingerprints and jtis into the log", async () => {
      const service = await stage.start();
      await revoke(service, ["a-jti-that-is-known"]);
      const watcher = await stage.watch(service).complete();
      const { key, revision } = watcher;
      watcher.cancel();
      const again = stage.watch(service, { revision, key: new Uint8Array(32).fill(7) });
      await again.complete();
      again.send({ case: "sync", value: { id: 0n } });
      await again.ended;
      stage.watch(service, { revision: "not-a-revision", key });
      await until(() => service.logs().filter(({ method }) => method === "Watch").length === 3, {
        withinMs: 2000,
        what: "all have ended",
      });
      const secrets = [
        key,
        new Uint8Array(32).fill(7),
        ...[...again.entries.keys()].map((hex) => Buffer.from(hex, "hex")),
      ];
      const text = service.logText().replace(/"msg":"audit".*|.*"msg":"audit"/g, "");
      for (const secret of secrets) {
        for (const form of ["hex", "base64", "base64url"] as const)
          expect(text).not.to.include(Buffer.from(secret).toString(form));
      }
      expect(text).not.to.include("a-jti-that-is-known");
      expect(text).not.to.include("not-a-revision");
    });
  });
}
