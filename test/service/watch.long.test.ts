import { once } from "node:events";
import type { ClientHttp2Stream } from "node:http2";
import { expect } from "chai";
import { EntryKind, TokenBlacklist } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { MAX_SNAPSHOTS } from "../../src/blacklist/snapshot-turns.ts";
import {
  DEFAULT_DEADLINE_MS,
  MAX_STREAM_STALL_MS,
  STREAM_END_MS,
  WATCH_HEARTBEAT_MS,
} from "../../src/limits.ts";
import { encode } from "../../src/protobuf/service-definition.ts";
import { backends, type FreshDatabase } from "../support/backends.ts";
import { TokenCallers } from "../support/callers.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { FaultProxy } from "../support/fault-proxy.ts";
import { framed, Http2Connection } from "../support/http2-call.ts";
import { memoryInUse } from "../support/memory-in-use.ts";
import { methodPath, RawChannel } from "../support/raw-channel.ts";
import { randomFor } from "../support/seed.ts";
import { type RunningService, type ServiceOptions, startService } from "../support/service.ts";
import { ends } from "../support/stream-end.ts";
import { until } from "../support/until.ts";
import { type StartOptions, startMessage, WATCH_PATH, Watcher } from "../support/watcher.ts";

const HOUR = 3_600_000;
const LEEWAY = 300_000;

function timestamp(ms: number) {
  return { seconds: BigInt(Math.floor(ms / 1000)), nanos: (ms % 1000) * 1_000_000 };
}

async function revoke(
  { client }: RunningService,
  jtis: readonly string[],
  expiresAt = Date.now() + HOUR,
): Promise<string> {
  let revision = "";
  for (let at = 0; at < jtis.length; at += 1000) {
    const tokens = jtis
      .slice(at, at + 1000)
      .map((value) => ({ token: { case: "jti" as const, value }, expiresAt: timestamp(expiresAt) }));
    ({ revision } = await client.blacklist({ tokens }, { timeoutMs: 20_000 }));
  }
  return revision;
}

async function watchersOf({ adminUrl }: RunningService): Promise<number> {
  const text = await (await fetch(`${adminUrl}/metrics`)).text();
  return Number(/^tokenblacklist_watchers (\d+)$/m.exec(text)?.[1]);
}

for (const backend of backends) {
  describe(`Watch on ${backend.name}`, function () {
    this.timeout(60_000);
    let database: FreshDatabase;
    let running: RunningService[];
    let channels: RawChannel[];

    beforeEach(async () => {
      database = await backend.create();
      running = [];
      channels = [];
    });
    afterEach(async () => {
      for (const channel of channels) channel.close();
      await Promise.all(running.map((one) => one.stop()));
      await database.dispose();
    });

    async function startOn({
      loaded = true,
      ...options
    }: Omit<ServiceOptions, "url"> & { loaded?: boolean } = {}): Promise<RunningService> {
      const one = await startService({ url: database.url, ...options, env: { INDEX: "on", ...options.env } });
      running.push(one);
      if (loaded) await one.indexLoaded();
      return one;
    }

    function connect({ address }: RunningService): RawChannel {
      const channel = new RawChannel(address);
      channels.push(channel);
      return channel;
    }

    const watch = (service: RunningService, start: StartOptions = {}) =>
      Watcher.begin(connect(service), { start });

    it("sends existing entries, then changes, for as long as they are effective", async () => {
      const service = await startOn();
      const expiresAt = Math.floor(Date.now() / 1000) * 1000 + HOUR;
      await revoke(service, ["a", "b"], expiresAt);
      const watcher = await watch(service).complete();
      const { key, ...opened } = await watcher.opened();
      expect([key.length, opened]).to.deep.equal([
        32,
        { snapshot: true, entryCount: 2n, hash: "chaskey12-uuid-1" },
      ]);
      const seen = () => ["a", "b", "c"].map((jti) => watcher.untilOf(jti));
      expect(seen()).to.deep.equal([expiresAt + LEEWAY, expiresAt + LEEWAY, 0]);
      await revoke(service, ["a"], expiresAt + HOUR);
      await revoke(service, ["b"], expiresAt - 1000);
      const revision = await revoke(service, ["c"], expiresAt);
      await until(() => watcher.has("c"), { withinMs: 2000, what: "the change has come" });
      expect([seen(), watcher.revision]).to.deep.equal([
        [expiresAt + HOUR + LEEWAY, expiresAt + LEEWAY, expiresAt + LEEWAY],
        revision,
      ]);
      const times = watcher.messages.map(({ time }) => Number(time?.seconds ?? 0n) - Date.now() / 1000);
      expect(Math.min(...times)).to.be.above(-20);
      expect(Math.max(...times)).to.be.below(1);
    });

    it("proves a copy current: it has received every revocation acknowledged before the sync, 500 times", async () => {
      const here = await startOn();
      // An embedded file has one replica.
      const elsewhere = backend.name === "sqlite" ? here : await startOn();
      const watcher = await watch(here).complete();
      const late: string[] = [];
      for (let round = 0; round < 500; round++) {
        await revoke(elsewhere, [`round-${round}`]);
        const answer = await watcher.sync();
        if (answer !== "synced" || !watcher.has(`round-${round}`)) late.push(`${round}: ${answer}`);
      }
      expect(late).to.deep.equal([]);
    });

    it("answers a sync that arrived before the snapshot after all of the snapshot", async () => {
      const service = await startOn();
      await revoke(service, ["a"]);
      const watcher = watch(service);
      expect([await watcher.sync(7n), watcher.story]).to.deep.equal([
        "synced",
        ["snapshot", "1 entries complete", "synced"],
      ]);
      const { response } = await watcher.message(({ response }) => response.case === "synced");
      expect(response).to.deep.include({ case: "synced" });
      expect(response.value).to.include({ id: 7n, revision: watcher.revision });
    });

    it("resumes where a copy was disconnected, at any replica and after a restart, even if entries were pruned meanwhile", async () => {
      const first = await startOn({ env: { EXPIRY_LEEWAY: "0s" } });
      await revoke(first, ["gone"], Date.now() + 1500);
      await revoke(first, ["a"]);
      const before = await watch(first).complete();
      await before.sync();
      const { revision, key } = before;
      before.cancel();
      await revoke(first, ["b", "c"]);
      await revoke(first, ["d"]);
      await until(async () => (await first.client.prune({})).prunedCount > 0, {
        withinMs: 10_000,
        what: "the expired entry is pruned",
      });
      if (backend.name === "sqlite") await first.stop();
      const other = await startOn({ env: { EXPIRY_LEEWAY: "0s" } });
      for (const service of backend.name === "sqlite" ? [other] : [first, other]) {
        const watcher = watch(service, { revision, key });
        await watcher.sync();
        const { snapshot } = await watcher.opened();
        expect([snapshot, ["b", "c", "d"].filter((jti) => !watcher.has(jti))]).to.deep.equal([false, []]);
        expect(watcher.revision).not.to.equal(revision);
      }
    });

    it("reports that nothing is missing to a copy that is current", async () => {
      const service = await startOn();
      await revoke(service, ["a"]);
      const { revision, key } = await watch(service).complete();
      const again = watch(service, { revision, key });
      expect([await again.sync(), again.story]).to.deep.equal(["synced", ["changes", "synced"]]);
    });

    it("begins with a snapshot for a revision of another history, or a key of another blacklist", async () => {
      const service = await startOn();
      await revoke(service, ["a"]);
      const { revision, key } = await watch(service).complete();
      const [number = "", stamp = ""] = revision.split("-");
      const otherStamp = stamp.replace(/^./, (digit) => (digit === "0" ? "1" : "0"));
      const cases: StartOptions[] = [
        { revision: `${Number(number) + 5}-${stamp}`, key },
        { revision: `${number}-${otherStamp}`, key },
        { revision, key: key.map((byte) => byte ^ 1) },
        { revision, key: new Uint8Array(32) },
      ];
      const seen: unknown[] = [];
      for (const start of cases) {
        const watcher = await watch(service, start).complete();
        seen.push([(await watcher.opened()).snapshot, watcher.has("a"), watcher.revision]);
      }
      expect(seen).to.deep.equal(cases.map(() => [true, true, revision]));
    });

    it("refuses invalid messages with an explanation", async () => {
      const service = await startOn();
      const channel = connect(service);
      const key = new Uint8Array(32);
      const revision = `1-${"0".repeat(16)}`;
      const sync = (id: bigint) => ({ case: "sync", value: { id } });
      const begun = (watcher: Watcher) => watcher.start();
      const cases: Record<string, [(watcher: Watcher) => void, ...string[]]> = {
        "sync first": [(one) => one.send(sync(1n)), "request"],
        "nothing set": [(one) => one.stream.write(Buffer.alloc(0)), "request"],
        "two starts": [(one) => [begun(one), begun(one)], "request"],
        "nothing set later": [(one) => [begun(one), one.stream.write(Buffer.alloc(0))], "request"],
        "an id of 0": [(one) => [begun(one), one.send(sync(0n))], "sync.id"],
        "an id that repeats": [(one) => [begun(one), one.send(sync(3n)), one.send(sync(3n))], "sync.id"],
        "an id that falls": [(one) => [begun(one), one.send(sync(3n)), one.send(sync(2n))], "sync.id"],
        "bytes that are no message": [(one) => one.stream.write(Buffer.from([0xff])), ""],
        "bytes that are no message, later": [
          (one) => [begun(one), one.stream.write(Buffer.from([0x0a, 5, 1]))],
          "",
        ],
        "no kinds": [(one) => one.start({ entryKinds: [] }), "start.entry_kinds"],
        "another kind alone": [
          (one) => one.start({ entryKinds: [99 as EntryKind, EntryKind.UNSPECIFIED] }),
          "start.entry_kinds",
        ],
        "a revision that is none": [(one) => one.start({ revision: "7", key }), "start.revision"],
        "a revision without a key": [(one) => one.start({ revision }), "start.key"],
        "a short key": [(one) => one.start({ revision, key: key.subarray(1) }), "start.key"],
        "all of it": [
          (one) => one.start({ revision: "x", key: Uint8Array.of(1), entryKinds: [] }),
          "start.entry_kinds",
          "start.revision",
          "start.key",
        ],
      };
      const seen = await Promise.all(
        Object.entries(cases).map(async ([name, [say]]) => {
          const watcher = new Watcher(channel);
          say(watcher);
          return [name, await watcher.ended];
        }),
      );
      expect(Object.fromEntries(seen)).to.deep.equal(
        Object.fromEntries(
          Object.entries(cases).map(([name, [, ...fields]]) => [
            name,
            ends("INVALID_ARGUMENT", "INVALID_REQUEST", ...fields),
          ]),
        ),
      );
      await until(async () => (await watchersOf(service)) === 0, { withinMs: 2000, what: "no watcher left" });
    });

    it("accepts increasing ids, and proves several with one read", async () => {
      const service = await startOn();
      const watcher = await watch(service).complete();
      for (const id of [1n, 5n, 6n, 2n ** 63n, 2n ** 64n - 1n]) watcher.send({ case: "sync", value: { id } });
      const isLast = ({ response }: (typeof watcher.messages)[number]) =>
        response.case === "synced" && response.value.id === 2n ** 64n - 1n;
      await watcher.message(isLast);
      const ids = watcher.messages.flatMap(({ response }) =>
        response.case === "synced" ? [response.value.id] : [],
      );
      expect(ids).to.deep.equal([...ids].sort((a, b) => (a < b ? -1 : 1)));
      expect(ids.length).to.be.below(6);
    });

    it("ends with OK on a half-close, and is CANCELLED in the log if the client disconnected", async () => {
      const service = await startOn();
      const [done, gone] = [await watch(service).complete(), await watch(service).complete()];
      expect(await watchersOf(service)).to.equal(2);
      done.stream.end();
      expect(await done.ended).to.deep.equal(ends("OK"));
      gone.cancel();
      const codes = () =>
        service
          .logs()
          .flatMap(({ msg, method, code }) => (msg === "call" && method === "Watch" ? [code] : []));
      await until(() => codes().length === 2, { withinMs: 2000, what: "both have ended" });
      const proxy = await FaultProxy.start({ port: Number(service.address.split(":").at(-1)) });
      const channel = new RawChannel(`127.0.0.1:${proxy.port}`);
      channels.push(channel);
      await Watcher.begin(channel).complete();
      proxy.cut();
      await until(() => codes().length === 3, { withinMs: 2000, what: "all have ended" });
      expect([codes(), await watchersOf(service)]).to.deep.equal([["OK", "CANCELLED", "CANCELLED"], 0]);
      await proxy.close();
    });

    it("survives arbitrary bytes: every stream is refused or served", async () => {
      const service = await startOn();
      const channel = connect(service);
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
      expect([await watchersOf(service), await watch(service).sync()]).to.deep.equal([0, "synced"]);
    });

    it("ends at the client's deadline, with or without changes", async () => {
      const service = await startOn();
      const watcher = new Watcher(connect(service), { timeoutMs: 500 });
      watcher.start();
      for (let count = 0; count < 100; count++) await revoke(service, [`${count}`]);
      expect((await watcher.ended).code).to.equal("DEADLINE_EXCEEDED");
      const lines = () => service.logs().filter(({ method }) => method === "Watch");
      await until(() => lines().length === 1, { withinMs: 2000, what: "it has ended" });
      // Node.js half-closes a stream before it resets it, which a fast service reads as a normal end.
      expect(lines()[0]?.code).to.be.oneOf(["DEADLINE_EXCEEDED", "CANCELLED", "OK"]);
      expect(await watchersOf(service)).to.equal(0);
    });

    it("is unavailable without an index", async () => {
      const service = await startOn({ env: { INDEX: "off" }, loaded: false });
      expect(await watch(service).ended).to.deep.equal(ends("UNAVAILABLE", "NOT_FRESH"));
    });

    it("ends when the index overflows, and is unavailable afterwards", async () => {
      const service = await startOn({ env: { INDEX_MAX_ENTRIES: "3" } });
      const watcher = await watch(service).complete();
      await revoke(service, ["a", "b", "c", "d"]);
      expect(await watcher.ended).to.deep.equal(ends("UNAVAILABLE", "NOT_FRESH"));
      expect(await watch(service).ended).to.deep.equal(ends("UNAVAILABLE", "NOT_FRESH"));
      expect(await watchersOf(service)).to.equal(0);
    });

    it("sends a heartbeat if nothing else was sent", async () => {
      const clock = new FakeClock(Date.now());
      const service = await startOn({ clock });
      const watcher = await watch(service).complete();
      const beats = () => watcher.messages.filter(({ response }) => response.case === "heartbeat").length;
      for (let beat = 1; beat <= 3; beat++) {
        clock.advance(WATCH_HEARTBEAT_MS);
        await until(() => beats() === beat, { withinMs: 2000, what: `heartbeat ${beat}` });
      }
      clock.advance(WATCH_HEARTBEAT_MS - 1);
      await watcher.sync();
      clock.advance(1);
      await watcher.sync();
      expect(beats()).to.equal(3);
    });

    it("ends for a client that sends no start", async () => {
      const clock = new FakeClock(Date.now());
      const service = await startOn({ clock });
      const silent = new Watcher(connect(service));
      // Nothing is sent before the first message: another call on the same connection shows that the stream exists.
      silent.stream.write(Buffer.from([0xff]), () => {});
      expect((await silent.ended).code).to.equal("INVALID_ARGUMENT");
      const channel = connect(service);
      const idle = new Watcher(channel);
      await channel.call(methodPath("IsBlacklisted"), Uint8Array.of(0x0a, 1, 0x61));
      for (let waited = 0; waited < DEFAULT_DEADLINE_MS; waited += WATCH_HEARTBEAT_MS)
        clock.advance(WATCH_HEARTBEAT_MS);
      expect(await idle.ended).to.deep.equal(ends("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED"));
    });

    it("puts no keys, fingerprints and jtis into the log", async () => {
      const service = await startOn();
      await revoke(service, ["a-jti-that-is-known"]);
      const watcher = await watch(service).complete();
      const { key, revision } = watcher;
      watcher.cancel();
      const again = watch(service, { revision, key: new Uint8Array(32).fill(7) });
      await again.complete();
      again.send({ case: "sync", value: { id: 0n } });
      await again.ended;
      watch(service, { revision: "not-a-revision", key });
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

    it("ends with DRAINING in time when the service stops, even for a client that reads nothing", async () => {
      const service = await startOn({ env: { SHUTDOWN_GRACE: "3s" } });
      await revoke(
        service,
        Array.from({ length: 20_000 }, (_, index) => `${index}`),
      );
      const watchers = await Promise.all(Array.from({ length: 20 }, () => watch(service).complete()));
      const stuck = new Watcher(connect(service));
      stuck.stream.pause();
      stuck.start();
      await until(async () => (await watchersOf(service)) === 21, { withinMs: 2000, what: "all are there" });
      const began = performance.now();
      await service.service.close();
      expect(performance.now() - began).to.be.below(3000);
      expect(await Promise.all(watchers.map((one) => one.ended))).to.deep.equal(
        watchers.map(() => ends("UNAVAILABLE", "DRAINING")),
      );
    });

    describe("with authentication", () => {
      let tokens: TokenCallers;
      let service: RunningService;
      const bearer = (claims: object = {}) => tokens.bearer(claims);

      beforeEach(async () => {
        tokens = await TokenCallers.create();
        service = await startOn({ env: tokens.env });
      });

      it("needs the role check and a valid credential", async () => {
        const cases: Record<string, [readonly string[], ReturnType<typeof ends>]> = {
          "no credential": [[], ends("UNAUTHENTICATED", "UNAUTHENTICATED")],
          "an expired one": [await bearer({ exp: 1 }), ends("UNAUTHENTICATED", "UNAUTHENTICATED")],
          "all other roles": [
            await bearer({ scope: "revoke list prune" }),
            ends("PERMISSION_DENIED", "PERMISSION_DENIED"),
          ],
        };
        for (const [name, [authorization, expected]] of Object.entries(cases)) {
          const watcher = Watcher.begin(connect(service), { authorization });
          expect([name, await watcher.ended, watcher.messages]).to.deep.equal([name, expected, []]);
        }
        const watcher = Watcher.begin(connect(service), { authorization: await bearer() });
        expect(await watcher.sync()).to.equal("synced");
        watcher.cancel();
        const lines = () => service.logs().filter(({ method }) => method === "Watch");
        await until(() => lines().length === 4, { withinMs: 2000, what: "all have ended" });
        expect(lines().map(({ caller }) => caller)).to.deep.equal([
          undefined,
          undefined,
          "gateway",
          "gateway",
        ]);
      });

      it("ends at once when the caller's own token is blacklisted, and cannot be opened again", async () => {
        const authorization = await bearer({ jti: "own", scope: "check revoke" });
        const channel = connect(service);
        const [one, other] = [authorization, await bearer({ jti: "other" })].map((own) =>
          Watcher.begin(channel, { authorization: own }),
        ) as [Watcher, Watcher];
        await Promise.all([one.complete(), other.complete()]);
        const revoked = await channel.call(
          methodPath("Blacklist"),
          Buffer.from("0a0d0a036f776e1a0608808aee990f", "hex"),
          { authorization },
        );
        expect(revoked.code).to.equal("OK");
        const began = performance.now();
        expect(await one.ended).to.deep.equal(ends("UNAUTHENTICATED", "UNAUTHENTICATED"));
        expect(performance.now() - began).to.be.below(500);
        await other.sync();
        expect([other.has("own"), one.has("own")]).to.deep.equal([true, false]);
        const again = Watcher.begin(channel, { authorization });
        expect(await again.ended).to.deep.equal(ends("UNAUTHENTICATED", "UNAUTHENTICATED"));
        expect(again.messages).to.deep.equal([]);
      });
    });
  });
}

describe("Watch clients that do not read", function () {
  this.timeout(120_000);
  const [backend] = backends;
  const COUNT = 60_000;
  let database: FreshDatabase;
  let service: RunningService;
  let clock: FakeClock;
  const channels: RawChannel[] = [];

  before(async () => {
    database = (await backend?.create()) as FreshDatabase;
    clock = new FakeClock(Date.now());
    service = await startService({ url: database.url, clock, env: { INDEX: "on" } });
    await service.indexLoaded();
    await revoke(
      service,
      Array.from({ length: COUNT }, (_, index) => `large-${index}`),
    );
  });
  after(async () => {
    for (const channel of channels) channel.close();
    await service?.stop();
    await database?.dispose();
  });

  function connect(): RawChannel {
    const channel = new RawChannel(service.address);
    channels.push(channel);
    return channel;
  }

  /** A stream whose client never reads, on a bare connection, since a gRPC library reads ahead. */
  async function openStuck(
    start: StartOptions = {},
    headers: Record<string, string> = {},
  ): Promise<{ http2: Http2Connection; stream: ClientHttp2Stream }> {
    const http2 = await Http2Connection.open(service.address);
    const stream = http2.session.request({
      ":method": "POST",
      ":path": WATCH_PATH,
      "content-type": "application/grpc",
      te: "trailers",
      ...headers,
    });
    stream.on("error", () => {});
    stream.write(framed(startMessage(start)));
    await once(stream, "response");
    stream.pause();
    return { http2, stream };
  }

  /** Advances the clock in steps, and lets everything happen after each. */
  const goOn = (stepMs: number, isSo: () => boolean, what: string) =>
    until(
      () => {
        clock.advance(stepMs);
        return isSo();
      },
      { withinMs: 30_000, what },
    );

  it("use bounded memory, delay no other snapshot, and are disconnected", async () => {
    const held = async () => {
      const { external, heapUsed } = await memoryInUse();
      return external + heapUsed;
    };
    const before = await held();
    const stuck = await Promise.all(Array.from({ length: 5 * MAX_SNAPSHOTS }, () => openStuck()));
    const reader = Watcher.begin(connect());
    await goOn(100, () => reader.revision !== "", "the one who reads has all of it");
    expect(reader.entries.size).to.equal(COUNT);
    // 1.4 MB each: one segment and the window, at both ends. Memory of earlier tests in this process varies by megabytes.
    reader.messages.splice(0);
    reader.entries.clear();
    expect((await held()) - before).to.be.below(stuck.length * 1_000_000);
    expect(await watchersOf(service)).to.equal(stuck.length + 1);
    const codes = () => service.logs().flatMap(({ method, code }) => (method === "Watch" ? [code] : []));
    const began = clock.monotonic();
    await until(
      async () => {
        clock.advance(500);
        return (await watchersOf(service)) === 1;
      },
      { withinMs: 30_000, what: "all are sent away" },
    );
    expect([[...new Set(codes())], await watchersOf(service)]).to.deep.equal([["RESOURCE_EXHAUSTED"], 1]);
    expect(clock.monotonic() - began).to.be.within(MAX_STREAM_STALL_MS / 2, 2 * MAX_STREAM_STALL_MS);
    // They still read nothing: the end does not reach them, and unsent data is kept.
    const open = () => stuck.filter(({ http2 }) => !http2.session.closed).length;
    expect(open()).to.be.above(0);
    clock.advance(STREAM_END_MS);
    await until(() => open() === 0, { withinMs: 5000, what: "their connections are closed" });
    expect(await reader.sync()).to.equal("synced");
    reader.cancel();
  });

  it("are ended by their deadline too, even if they read again later", async () => {
    const { revision, key } = await Watcher.begin(connect()).complete();
    const { http2, stream } = await openStuck({ revision, key }, { "grpc-timeout": "1S" });
    // More than the connection's window, and less than the maximum of unsent data.
    await revoke(
      service,
      Array.from({ length: 4000 }, (_, index) => `window-${index}`),
    );
    const began = performance.now();
    for (let count = 0; performance.now() - began < 1500; count++) {
      clock.advance(20);
      await revoke(service, [`later-${count}`]);
    }
    const trailers = once(stream, "trailers");
    stream.resume();
    expect((await trailers)[0]).to.include({ "grpc-status": "4" });
    expect((await service.client.isBlacklisted({ jtis: ["later-0"] })).verdicts).to.have.length(1);
    await http2.close();
  });
});
