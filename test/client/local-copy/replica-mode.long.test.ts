import { expect } from "chai";
import type { BlacklistClient } from "../../../src/client/blacklist-client.ts";
import { type ConnectOptions, connect } from "../../../src/client/connect.ts";
import { MAX_SILENCE_MS } from "../../../src/client/local-copy/watched-copy.ts";
import { backends, type FreshDatabase } from "../../support/backends.ts";
import { FaultProxy } from "../../support/fault-proxy.ts";
import { freePort } from "../../support/free-port.ts";
import { rejection } from "../../support/rejection.ts";
import { type RunningService, startService } from "../../support/service.ts";
import { until } from "../../support/until.ts";

const YEAR_2100 = new Date(4_102_444_800_000);
const SOON = { withinMs: 5000 };

for (const backend of backends) {
  describe(`a client in local mode, its service on ${backend.name}`, function () {
    this.timeout(60_000);
    let database: FreshDatabase;
    let services: RunningService[];
    let clients: BlacklistClient[];
    let proxy: FaultProxy | undefined;
    /** The sources of results, and the log. */
    let sources: Record<string, number>;
    let lines: string[];

    beforeEach(async () => {
      database = await backend.create();
      [services, clients, sources, lines] = [[], [], {}, []];
    });

    afterEach(async () => {
      for (const client of clients) client.close();
      for (const service of services) await service.stop();
      await proxy?.close();
      proxy = undefined;
      await database.dispose();
    });

    async function serve(env: Record<string, string> = {}): Promise<RunningService> {
      const service = await startService({ url: database.url, env: { INDEX: "on", ...env } });
      services.push(service);
      await service.indexLoaded();
      return service;
    }

    function open(
      address: string | readonly string[],
      options: Partial<ConnectOptions> = {},
    ): BlacklistClient {
      const client = connect({
        address,
        mode: "local",
        metrics: {
          checked({ source }) {
            sources[source] = (sources[source] ?? 0) + 1;
          },
        },
        log: { info: (text) => void lines.push(text), warn: (text) => void lines.push(text) },
        ...options,
      });
      clients.push(client);
      return client;
    }

    async function ready(client: BlacklistClient): Promise<void> {
      await until(() => client.state === "ready", { ...SOON, what: "the copy is ready" });
    }

    const snapshots = () => lines.filter((line) => line === "the copy of the blacklist is complete").length;

    async function throughProxy(service: RunningService): Promise<FaultProxy> {
      proxy = await FaultProxy.start({ port: service.service.address.port });
      return proxy;
    }

    it("answers from its copy: tokens revoked before, tokens revoked meanwhile, and others", async () => {
      const service = await serve();
      const other = open(service.address, { mode: "remote", metrics: {} });
      await other.blacklist([{ jti: "before", expiresAt: YEAR_2100 }]);
      const client = open(service.address);
      await ready(client);
      await other.blacklist([{ jti: "meanwhile", expiresAt: YEAR_2100 }]);
      const fresh = await client.areBlacklisted(["before", "meanwhile", "never", "Before"]);
      const bounded = await client.areBlacklisted(["before", "never"], { maxStalenessMs: 5000 });
      expect([
        fresh,
        bounded,
        client.peek("before"),
        client.peek("never", { maxStalenessMs: 5000 }),
        sources,
      ]).to.deep.equal([[true, true, false, false], [true, false], true, false, { copy: 6 }]);
    });

    it("never answers a fully fresh check from before a revocation that was acknowledged when it was made", async () => {
      const service = await serve();
      const client = open(service.address);
      const revoking = open(service.address, { mode: "remote", metrics: {} });
      await ready(client);
      const stale: string[] = [];
      for (let count = 0; count < 300; count++) {
        const jti = `jti-${count}`;
        // Checks in flight, whose proof must not be used for the later check.
        const earlier = [client.isBlacklisted(jti), client.isBlacklisted("other")];
        await revoking.blacklist([{ jti, expiresAt: YEAR_2100 }]);
        if (!(await client.isBlacklisted(jti))) stale.push(jti);
        await Promise.all(earlier);
      }
      expect([stale, sources.service]).to.deep.equal([[], undefined]);
    });

    it("receives a revocation without being asked", async () => {
      const service = await serve();
      const client = open(service.address);
      await ready(client);
      await open(service.address, { mode: "remote" }).blacklist([{ jti: "pushed", expiresAt: YEAR_2100 }]);
      await until(() => client.peek("pushed") === true, { ...SOON, what: "the revocation arrives" });
    });

    it("calls the service while its copy is loading, and before the first message", async () => {
      const service = await serve();
      const client = open(service.address);
      const answer = await client.isBlacklisted("a");
      expect([answer, sources]).to.deep.equal([false, { service: 1 }]);
    });

    it("answers only as freshly as was requested", async () => {
      const service = await serve();
      const client = open(service.address);
      await ready(client);
      expect([client.peek("a"), client.peek("a", { maxStalenessMs: 0 })]).to.deep.equal([
        undefined,
        undefined,
      ]);
    });

    it("resumes without a snapshot after its connection was cut, and lacks nothing", async () => {
      const service = await serve();
      const way = await throughProxy(service);
      const revoking = open(service.address, { mode: "remote", metrics: {} });
      const client = open(`127.0.0.1:${way.port}`);
      await ready(client);
      for (let round = 0; round < 3; round++) {
        way.reset();
        await until(() => client.state === "unavailable", { ...SOON, what: "the copy is disconnected" });
        await revoking.blacklist([{ jti: `while cut off ${round}`, expiresAt: YEAR_2100 }]);
        await way.heal();
        await ready(client);
      }
      expect([
        [0, 1, 2].map((round) => client.peek(`while cut off ${round}`)),
        client.peek("never", { maxStalenessMs: 5000 }),
        snapshots(),
      ]).to.deep.equal([[true, true, true], false, 1]);
    });

    it("keeps its entries while the service is unavailable, and answers within the allowed staleness only", async () => {
      const service = await serve();
      const client = open(service.address, { timeoutMs: 300 });
      await ready(client);
      await client.blacklist([{ jti: "known", expiresAt: YEAR_2100 }]);
      await until(() => client.peek("known") === true, { ...SOON, what: "the revocation arrives" });
      await service.stop();
      const allowed = await client.isBlacklisted("unknown", { maxStalenessMs: 60_000 });
      await until(() => client.peek("unknown", { maxStalenessMs: 200 }) === undefined, {
        ...SOON,
        what: "the proof ages",
      });
      const refused = await rejection(client.isBlacklisted("unknown", { maxStalenessMs: 200 }));
      const fresh = await rejection(client.isBlacklisted("unknown"));
      expect([
        allowed,
        (refused as { code?: string }).code,
        (fresh as { code?: string }).code,
        await client.isBlacklisted("known"),
        client.state,
      ]).to.deep.equal([false, "UNAVAILABLE", "UNAVAILABLE", true, "unavailable"]);
    });

    it("resumes at another service for the same blacklist, in both directions", async () => {
      const ports = [await freePort(), await freePort()];
      const start = (port: number) => serve({ LISTEN_ADDRESS: `127.0.0.1:${port}` });
      // The embedded file belongs to one process: there the same service restarts on two ports in turn.
      let running = await start(ports[0] as number);
      const client = open(ports.map((port) => `127.0.0.1:${port}`));
      await ready(client);
      for (let round = 0; round < 3; round++) {
        await client.blacklist([{ jti: `round ${round}`, expiresAt: YEAR_2100 }]);
        await running.stop();
        running = await start(ports[(round + 1) % 2] as number);
        await until(() => client.state === "ready", {
          withinMs: 10_000,
          what: "the copy is connected to the other service",
        });
      }
      expect([
        await client.areBlacklisted(["round 0", "round 1", "round 2", "round 3"]),
        snapshots(),
      ]).to.deep.equal([[true, true, true, false], 1]);
    });

    it("abandons a half-open connection, and is current again soon after", async () => {
      const service = await serve();
      const way = await throughProxy(service);
      const client = open(`127.0.0.1:${way.port}`, { timeoutMs: 500 });
      await ready(client);
      way.blackhole();
      const refused = await rejection(client.isBlacklisted("a"));
      await until(() => client.state === "unavailable", {
        withinMs: 2 * MAX_SILENCE_MS,
        what: "the half-open connection is detected",
      });
      await until(() => lines.includes("the copy of the blacklist is cut off"), {
        withinMs: 2 * MAX_SILENCE_MS,
        what: "the stream is abandoned",
      });
      await way.heal();
      way.cut();
      await until(() => client.state === "ready", { withinMs: 10_000, what: "the copy is current again" });
      expect([
        (refused as { code?: string }).code,
        await client.isBlacklisted("a"),
        snapshots(),
      ]).to.deep.equal(["DEADLINE_EXCEEDED", false, 1]);
    });

    it("drops a copy that is larger than allowed, logs it, and calls the service", async () => {
      const service = await serve();
      const revoking = open(service.address, { mode: "remote", metrics: {} });
      await revoking.blacklist(["a", "b", "c"].map((jti) => ({ jti, expiresAt: YEAR_2100 })));
      const client = open(service.address, { maxCopyEntries: 2 });
      await until(() => lines.some((line) => line.includes("too large")), {
        ...SOON,
        what: "the copy is dropped",
      });
      expect([await client.isBlacklisted("a"), await client.isBlacklisted("d"), sources]).to.deep.equal([
        true,
        false,
        { service: 2 },
      ]);
    });

    it("works with a service without an index: every check is a call", async () => {
      const service = await startService({ url: database.url, env: { INDEX: "off" } });
      services.push(service);
      const client = open(service.address);
      await client.blacklist([{ jti: "a", expiresAt: YEAR_2100 }]);
      expect([await client.areBlacklisted(["a", "b"]), sources.copy]).to.deep.equal([
        [true, false],
        undefined,
      ]);
    });

    it("rejects checks once it is closed, and leaves nothing running", async () => {
      const service = await serve();
      const client = open(service.address);
      await ready(client);
      const waiting = rejection(client.isBlacklisted("a"));
      client.close();
      const later = await rejection(client.isBlacklisted("a", { maxStalenessMs: 5000 }));
      expect([
        ((await waiting) as { code?: string }).code,
        (later as { code?: string }).code,
        client.peek("a"),
      ]).to.deep.equal(["CANCELLED", "CANCELLED", undefined]);
    });
  });
}
