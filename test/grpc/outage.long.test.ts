import { create, toBinary } from "@bufbuild/protobuf";
import { expect } from "chai";
import { after, afterEach, before, beforeEach, describe, it } from "mocha";
import {
  BlacklistRequestSchema,
  IsBlacklistedRequestSchema,
  Verdict,
} from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { ClientError } from "../../src/client/client-error.ts";
import { DEFAULT_DEADLINE_MS } from "../../src/limits.ts";
import { migrate } from "../../src/start/migrate.ts";
import { parseDatabaseUrl } from "../../src/store/database-url.ts";
import { FakeClock } from "../support/fake-clock.ts";
import type { FaultProxy } from "../support/fault-proxy.ts";
import { FaultyDatabase } from "../support/faulty-database.ts";
import { checkHealth, type HealthWatch, watchHealth } from "../support/health-client.ts";
import { framed, Http2Connection } from "../support/http2-call.ts";
import type { PrivateMariadb } from "../support/mariadb.ts";
import { ownMariadb } from "../support/own-mariadb.ts";
import { methodPath, RawChannel } from "../support/raw-channel.ts";
import { rejection } from "../support/rejection.ts";
import { YEAR_2100 } from "../support/revoke.ts";
import { type RunningService, startService } from "../support/service.ts";
import { detailsOf } from "../support/status-details.ts";

const POSITIVES = "tokenblacklist.v1.TokenBlacklist/positives";
/** The service's promises: an outage is detected while a caller still waits, and over soon after the database is back. */
const NOTICED_WITHIN_MS = 5000;
const RECOVERED_WITHIN_MS = 2000;

describe("an unavailable database", () => {
  let server: PrivateMariadb;
  let database: FaultyDatabase;
  let proxy: FaultProxy;
  let running: RunningService;
  let channel: RawChannel;
  let watch: HealthWatch;

  before(async function () {
    this.timeout(90_000);
    server = await ownMariadb(this);
  });
  after(() => server?.stop());

  beforeEach(async () => {
    database = await FaultyDatabase.create(server);
    ({ proxy } = database);
    running = await startService({ url: database.proxiedUrl });
    channel = new RawChannel(running.address);
    watch = watchHealth(channel);
    await watch.reaches("SERVING");
  });
  afterEach(async () => {
    await proxy.heal();
    channel.close();
    await running.stop();
    await database.close();
  });

  function blacklist(jti: string) {
    return running.client.blacklist({
      tokens: [{ token: { case: "jti", value: jti }, expiresAt: YEAR_2100 }],
    });
  }

  async function probe(path: "/livez" | "/readyz"): Promise<number> {
    const response = await fetch(running.adminUrl + path);
    await response.text();
    return response.status;
  }

  async function expectOutage(): Promise<void> {
    const began = performance.now();
    await watch.reaches("NOT_SERVING");
    expect(performance.now() - began, "until NOT_SERVING").to.be.below(NOTICED_WITHIN_MS);
    expect(await checkHealth(channel)).to.equal("NOT_SERVING");
    expect([await probe("/livez"), await probe("/readyz")]).to.deep.equal([200, 503]);

    const calls = {
      blacklist: () => blacklist("while-away"),
      isBlacklisted: () => running.client.isBlacklisted({ jtis: ["never"] }),
      list: () => running.client.list({}),
      prune: () => running.client.prune({}),
    };
    // All at once: each detects it in its own way.
    const asked = performance.now();
    await Promise.all(
      Object.entries(calls).map(async ([name, call]) => {
        const error = await rejection(call());
        const took = performance.now() - asked;
        expect(error, name).to.be.instanceOf(ClientError);
        const { code, reason, retryAfterMs } = error as ClientError;
        expect({ name, code, reason, retryAfterMs }).to.deep.equal({
          ...{ name, code: "UNAVAILABLE", reason: "STORE_UNAVAILABLE", retryAfterMs: 500 },
        });
        expect(took, name).to.be.below(9000);
      }),
    );
  }

  async function expectRecovery(): Promise<void> {
    const began = performance.now();
    await watch.reaches("SERVING");
    expect(performance.now() - began, "until SERVING").to.be.below(RECOVERED_WITHIN_MS);
    expect(await probe("/readyz")).to.equal(200);
    const asked = performance.now();
    const { verdicts } = await running.client.isBlacklisted({ jtis: ["before", "never"] });
    expect(verdicts).to.deep.equal([Verdict.BLACKLISTED, Verdict.NOT_BLACKLISTED]);
    await blacklist("afterwards");
    expect((await running.client.list({})).tokens.map(({ jti }) => jti)).to.include.members([
      "before",
      "afterwards",
    ]);
    expect(performance.now() - asked, "first calls").to.be.below(RECOVERED_WITHIN_MS);
  }

  const faults: Record<string, (faulty: FaultProxy) => void> = {
    "resets every connection": (faulty) => faulty.reset(),
    "drops every byte": (faulty) => faulty.blackhole(),
    "drops the responses": (faulty) => faulty.blackhole("toClient"),
    "delays everything": (faulty) => faulty.hold(),
    "refuses connections": (faulty) => {
      faulty.refuse();
      faulty.cut();
    },
  };
  for (const [name, cause] of Object.entries(faults)) {
    it(`makes the service NOT_SERVING and UNAVAILABLE while it ${name}, until at most 2 s after its return`, async function () {
      this.timeout(60_000);
      await blacklist("before");
      cause(proxy);
      await expectOutage();
      await proxy.heal();
      await expectRecovery();
      expect(watch.seen).to.deep.equal(["SERVING", "NOT_SERVING", "SERVING"]);
    });
  }

  it("is found again after a kill and a restart of its server", async function () {
    this.timeout(60_000);
    await blacklist("before");
    await server.kill();
    await expectOutage();
    await server.restart();
    await expectRecovery();
  });

  it("leaves known positives, which health and readiness report as a state of its own", async function () {
    this.timeout(60_000);
    if (process.env.TEST_INDEX === "off") this.skip();
    const positives = watchHealth(channel, POSITIVES);
    await running.indexLoaded();
    await blacklist("before");
    // Every method knows of the outage now, without a call to the database.
    await running.client.isBlacklisted({ jtis: ["before", "never"] });
    await positives.reaches("SERVING");
    const readiness = async () => (await fetch(`${running.adminUrl}/readyz`)).text();
    expect(await readiness()).to.equal("serving\n");

    await server.kill();
    await watch.reaches("NOT_SERVING");
    expect([await checkHealth(channel), await checkHealth(channel, POSITIVES)]).to.deep.equal([
      "NOT_SERVING",
      "SERVING",
    ]);
    expect([await probe("/livez"), await probe("/readyz"), await readiness()]).to.deep.equal([
      ...[200, 503],
      "serving known positives only\n",
    ]);
    const known = await running.client.isBlacklisted({ jtis: ["before"] });
    expect(known.verdicts).to.deep.equal([Verdict.BLACKLISTED]);
    const unknown = await rejection(running.client.isBlacklisted({ jtis: ["never"] }));
    expect(unknown).to.include({ code: "UNAVAILABLE" });

    await server.restart();
    await expectRecovery();
    expect(await readiness()).to.equal("serving\n");
    expect(await checkHealth(channel, POSITIVES)).to.equal("SERVING");
    const stopped = running.stop();
    await positives.reaches("NOT_SERVING");
    await stopped;
    expect([watch.seen, positives.seen]).to.deep.equal([
      ["SERVING", "NOT_SERVING", "SERVING", "NOT_SERVING"],
      ["SERVING", "NOT_SERVING"],
    ]);
  });

  it("answers all waiting calls once it is back, and new ones", async function () {
    this.timeout(60_000);
    proxy.blackhole();
    const calls = Array.from({ length: 300 }, (_, index) =>
      rejection(index % 2 === 0 ? blacklist(`w-${index}`) : running.client.isBlacklisted({ jtis: ["x"] })),
    );
    for (const error of await Promise.all(calls)) {
      expect((error as ClientError).code).to.be.oneOf(["UNAVAILABLE", "DEADLINE_EXCEEDED"]);
    }
    await proxy.heal();
    await watch.reaches("SERVING");
    const again = Array.from({ length: 300 }, (_, index) => blacklist(`w-${index}`));
    for (const { results } of await Promise.all(again)) expect(results).to.have.length(1);
  });

  it("leaves nothing queued after many cancelled calls", async function () {
    this.timeout(60_000);
    // Each opens a thousand streams at once.
    const [http2, ...others] = await Promise.all(
      Array.from({ length: 3 }, () => Http2Connection.open(running.address)),
    );
    try {
      proxy.blackhole();
      // More than a full queue has room for unless its room is released; then calls that time out almost at once.
      // The timeouts are enforced by the service: this client has none.
      const queued = [...Array(19).fill("Blacklist"), ...Array(499).fill("IsBlacklisted")] as const;
      const storm = [...Array(900).fill("Blacklist"), ...Array(900).fill("IsBlacklisted")] as const;
      const send = (
        method: "Blacklist" | "IsBlacklisted",
        { size, timeout, by }: { size: number; timeout: string; by: Http2Connection | undefined },
      ) =>
        (by as Http2Connection).send(methodPath(method), framed(batch(method, size, `storm-${size}`)), {
          "grpc-timeout": timeout,
        });
      const answers = await Promise.all([
        ...queued.map((method) => send(method, { size: 1000, timeout: "1S", by: http2 })),
        ...storm.map((method, index) => send(method, { size: 1, timeout: "1m", by: others[index % 2] })),
      ]);
      const codes = new Set(answers.map(({ code }) => code));
      expect([...codes]).to.deep.equal(["DEADLINE_EXCEEDED"]);
      // All that reached a queue.
      const ended = running.logs().filter(({ code }) => code === "DEADLINE_EXCEEDED");
      expect(ended.length).to.be.at.least(queued.length);
      expect(ended.some(({ method }) => method === "Blacklist")).to.equal(true);
      await proxy.heal();
      await watch.reaches("SERVING");
      const asked = performance.now();
      const sizes = [1, 1000, 1000];
      const after = await Promise.all(
        (["Blacklist", "IsBlacklisted"] as const).flatMap((method) =>
          sizes.map((size) => channel.call(methodPath(method), batch(method, size, "after"))),
        ),
      );
      expect(after.map(({ code }) => code)).to.deep.equal(after.map(() => "OK"));
      expect(performance.now() - asked).to.be.below(RECOVERED_WITHIN_MS);
    } finally {
      await Promise.all([http2, ...others].map((connection) => connection?.close()));
    }
  });

  it("never stores a write that was cancelled before it began", async function () {
    this.timeout(60_000);
    await blacklist("before");
    proxy.hold("toServer");
    // It occupies the writer; all others wait for its end.
    const first = blacklist("under-way");
    const waiting = Array.from({ length: 50 }, (_, index) => {
      const cancel = new AbortController();
      const tokens = [{ token: { case: "jti" as const, value: `gone-${index}` }, expiresAt: YEAR_2100 }];
      return { cancel, call: rejection(running.client.blacklist({ tokens }, { signal: cancel.signal })) };
    });
    await everythingSentHasArrived(running);
    for (const { cancel } of waiting) cancel.abort();
    for (const error of await Promise.all(waiting.map(({ call }) => call))) {
      expect(error).to.include({ code: "CANCELLED" });
    }
    await everythingSentHasArrived(running);
    expect(running.logs().filter(({ code, msg }) => code === "CANCELLED" && msg === "call")).to.have.length(
      50,
    );
    await proxy.heal();
    await first;
    await blacklist("afterwards");
    const { tokens } = await running.client.list({ pageSize: 1000 });
    expect(tokens.map(({ jti }) => jti).sort()).to.deep.equal(["afterwards", "before", "under-way"]);
  });

  it("ends a call without a deadline at the service's default, and never stores its write", async function () {
    this.timeout(60_000);
    await running.stop();
    channel.close();
    const clock = new FakeClock(Date.now());
    running = await startService({ url: database.proxiedUrl, clock });
    channel = new RawChannel(running.address);
    proxy.blackhole();
    const first = rejection(blacklist("under-way"));
    await everythingSentHasArrived(running);
    await checkHealth(channel);
    const call = channel.call(methodPath("Blacklist"), batch("Blacklist", 1, "waited"));
    // Answered after it was sent on the same connection: the call has arrived.
    await checkHealth(channel);
    clock.advance(DEFAULT_DEADLINE_MS);
    const { code, details, ...answer } = await call;
    expect({ code, details }).to.deep.equal({
      code: "DEADLINE_EXCEEDED",
      details: `not answered within ${DEFAULT_DEADLINE_MS} ms`,
    });
    expect(detailsOf(answer)).to.include({ reason: "DEADLINE_EXCEEDED", domain: "tokenblacklist" });
    await first;
  });

  it("does not delay the service's shutdown", async function () {
    this.timeout(60_000);
    proxy.blackhole();
    const calls = [
      rejection(blacklist("x")),
      rejection(running.client.isBlacklisted({ jtis: ["x"] })),
      rejection(running.client.list({})),
      rejection(running.client.prune({})),
    ];
    await everythingSentHasArrived(running);
    const began = performance.now();
    await running.service.close();
    // SHUTDOWN_GRACE is one second here.
    expect(performance.now() - began).to.be.below(1100);
    for (const error of await Promise.all(calls)) expect(error).to.include({ code: "UNAVAILABLE" });
  });
});

describe("a service that starts before its database", () => {
  let server: PrivateMariadb;

  before(async function () {
    this.timeout(90_000);
    server = await ownMariadb(this);
  });
  after(() => server?.stop());

  for (const away of ["refuses connections", "is silent"] as const) {
    it(`starts while it ${away}, is NOT_SERVING, and serves within 2 s of its return`, async function () {
      this.timeout(60_000);
      const database = await FaultyDatabase.create(server);
      await migrate("up", parseDatabaseUrl(database.url), () => {});
      const { proxy } = database;
      if (away === "is silent") proxy.blackhole();
      else proxy.refuse();
      const began = performance.now();
      const running = await startService({ url: database.proxiedUrl, migrated: false });
      const channel = new RawChannel(running.address);
      try {
        expect(performance.now() - began, "until it listens").to.be.below(5000);
        const watch = watchHealth(channel);
        await watch.reaches("NOT_SERVING");
        // It has no positives yet.
        expect(await checkHealth(channel, POSITIVES)).to.equal("NOT_SERVING");
        expect(await (await fetch(`${running.adminUrl}/readyz`)).text()).to.equal("not serving\n");
        expect((await fetch(`${running.adminUrl}/livez`)).status).to.equal(200);
        const error = await rejection(running.client.isBlacklisted({ jtis: ["a"] }));
        expect(error).to.include({ code: "UNAVAILABLE", reason: "STORE_UNAVAILABLE" });
        await proxy.heal();
        const healed = performance.now();
        await watch.reaches("SERVING");
        expect(performance.now() - healed, "until SERVING").to.be.below(RECOVERED_WITHIN_MS);
        expect((await running.client.isBlacklisted({ jtis: ["a"] })).verdicts).to.have.length(1);
        expect(watch.seen).to.deep.equal(["NOT_SERVING", "SERVING"]);
      } finally {
        await proxy.heal();
        channel.close();
        await running.stop();
        await database.close();
      }
    });
  }
});

/** HTTP/2 preserves the order of a connection: everything sent before an answered call has arrived, too. */
async function everythingSentHasArrived(running: RunningService): Promise<void> {
  const error = await rejection(running.client.isBlacklisted({ jtis: [] }));
  expect(error).to.include({ code: "INVALID_ARGUMENT" });
}

function batch(method: "Blacklist" | "IsBlacklisted", size: number, prefix: string): Uint8Array {
  const jtis = Array.from({ length: size }, (_, index) => `${prefix}-${index}`);
  if (method === "IsBlacklisted") {
    return toBinary(IsBlacklistedRequestSchema, create(IsBlacklistedRequestSchema, { jtis }));
  }
  const tokens = jtis.map((value) => ({ token: { case: "jti" as const, value }, expiresAt: YEAR_2100 }));
  return toBinary(BlacklistRequestSchema, create(BlacklistRequestSchema, { tokens }));
}
