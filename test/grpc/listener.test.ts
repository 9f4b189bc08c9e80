import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { connect as connectTo } from "node:net";
import { join } from "node:path";
import { credentials } from "@grpc/grpc-js";
import { expect } from "chai";
import { afterEach, beforeEach, describe, it } from "mocha";
import { READY_MS, UNUSED_CONNECTION_MS } from "../../src/limits.ts";
import { halfHandshakes } from "../attacks/half-handshakes.ts";
import { halfPrefaces } from "../attacks/half-prefaces.ts";
import { idleConnections } from "../attacks/idle-connections.ts";
import { type Authority, createAuthority } from "../support/certificates.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { checkHealth } from "../support/health-client.ts";
import type { HeldConnections } from "../support/held-connections.ts";
import { ask } from "../support/http-ask.ts";
import { Http2Connection } from "../support/http2-call.ts";
import { createSigningKey, keySetOf } from "../support/issuer.ts";
import { RawCalls } from "../support/raw-calls.ts";
import { RawChannel } from "../support/raw-channel.ts";
import { addressOf } from "../support/raw-http2.ts";
import { scrape } from "../support/scrape.ts";
import { type RunningService, type ServiceOptions, startService } from "../support/service.ts";
import { serveProcess } from "../support/service-process.ts";
import { freshFolder } from "../support/shared.ts";
import { until } from "../support/until.ts";

describe("the gRPC listener", () => {
  let folder: string;
  let running: RunningService | undefined;
  let held: HeldConnections | undefined;
  let authority: Authority;

  beforeEach(async () => {
    folder = await freshFolder();
  });
  afterEach(async () => {
    held?.release();
    await running?.stop();
    held = undefined;
    running = undefined;
  });

  async function serve(options: Partial<ServiceOptions> = {}): Promise<RunningService> {
    running = await startService({ url: `sqlite:${join(folder, "token-blacklist.db")}`, ...options });
    return running;
  }

  async function withTls(options: Partial<ServiceOptions> = {}): Promise<RunningService> {
    authority = await createAuthority();
    const { certificate, key } = await authority.issue([{ type: "dns", value: "localhost" }]);
    const env = { TLS_CERT_FILE: join(folder, "cert.pem"), TLS_KEY_FILE: join(folder, "key.pem") };
    await writeFile(env.TLS_CERT_FILE, certificate);
    await writeFile(env.TLS_KEY_FILE, key);
    return serve({ env, ...options });
  }

  /** Waits until this many connections have been accepted: the kernel accepts them before the service does. */
  async function accepted(count: number): Promise<void> {
    const open = async () => {
      const metric = (await scrape(running?.adminUrl ?? "")).get("tokenblacklist_connections");
      return metric?.series.find(({ labels }) => labels.listener === "grpc")?.value === count;
    };
    await until(open, { withinMs: 5000, what: `${count} connections are accepted` });
  }

  it("leaves descriptors for the admin address and for new connections, with 700 idle connections and 512 descriptors", async function () {
    this.timeout(60_000);
    const { address, adminAddress, client, process, kill } = await serveProcess(
      { DATABASE_URL: `sqlite:${join(folder, "token-blacklist.db")}` },
      { descriptors: 512 },
    );
    try {
      await client.isBlacklisted({ jtis: ["a"] });
      held = await idleConnections(address);
      expect(held.connected).to.equal(700);
      for (let times = 0; times < 5; times++) {
        expect(await ask(`http://${adminAddress}/livez`)).to.include({ status: 200 });
      }
      const newcomer = new RawChannel(address);
      expect(await checkHealth(newcomer)).to.equal("SERVING");
      newcomer.close();
      // On its earlier connection.
      expect((await client.isBlacklisted({ jtis: ["a"] })).verdicts).to.have.length(1);
      expect(process.pid).to.be.above(0);
    } finally {
      await kill();
    }
  });

  it("closes idle unauthenticated connections first, and counts and logs them", async () => {
    const { address, adminUrl, client, logs } = await serve({ env: { MAX_CONNECTIONS: "20" } });
    await client.isBlacklisted({ jtis: ["a"] });
    held = await idleConnections(address, { count: 50 });
    await until(() => (held?.open ?? 0) <= 10, { withinMs: 2000, what: "idle connections were evicted" });
    const metrics = await scrape(adminUrl);
    const values = (name: string) =>
      Object.fromEntries(
        (metrics.get(name)?.series ?? []).map(({ labels, value }) => [Object.values(labels)[0] ?? "", value]),
      );
    // Ten for one address, half of all, and one of these is the client's.
    expect(values("tokenblacklist_connections").grpc).to.equal(10);
    expect(values("tokenblacklist_connections_limit").grpc).to.equal(20);
    expect(values("tokenblacklist_unauthenticated_connections")).to.deep.equal({ "": 9 });
    expect(values("tokenblacklist_connections_closed_total")).to.include({ evicted: 41, refused: 0 });
    expect(logs().filter(({ reason }) => reason === "evicted")).to.have.length(1);
    await client.isBlacklisted({ jtis: ["a"] });
  });

  it("refuses a new connection while all others are authenticated, and accepts it once one has closed", async () => {
    const { address, client } = await serve({
      env: { MAX_CONNECTIONS: "1", MAX_CONNECTIONS_PER_ADDRESS: "1" },
    });
    await client.isBlacklisted({ jtis: ["a"] });
    const socket = connectTo(addressOf(address));
    await once(socket.resume(), "close");
    client.close();
    const newcomer = new RawChannel(address);
    try {
      const serves = async () => (await checkHealth(newcomer).catch(() => "")) === "SERVING";
      await until(serves, { withinMs: 5000, what: "the new connection is served" });
    } finally {
      newcomer.close();
    }
  });

  it("tracks authenticated and closed connections over TLS, too", async () => {
    const { address, adminUrl } = await withTls();
    const channel = new RawChannel(
      address.replace(/^[^:]+/, "localhost"),
      {},
      credentials.createSsl(Buffer.from(authority.certificate)),
    );
    const seen = async () => {
      const metrics = await scrape(adminUrl);
      const { value: open } = metrics.get("tokenblacklist_connections")?.series[0] ?? {};
      return [open, metrics.get("tokenblacklist_unauthenticated_connections")?.series[0]?.value];
    };
    expect(await checkHealth(channel)).to.be.oneOf(["SERVING", "NOT_SERVING"]);
    expect(await seen()).to.deep.equal([1, 1]);
    await channel.call("/tokenblacklist.v1.TokenBlacklist/List", Buffer.alloc(0));
    expect(await seen()).to.deep.equal([1, 0]);
    channel.close();
    await until(async () => (await seen())[0] === 0, { withinMs: 2000, what: "the connection is closed" });
  });

  it("closes a connection whose TLS handshake does not complete", async () => {
    const clock = new FakeClock(Date.now());
    const { address } = await withTls({ clock });
    held = await halfHandshakes(address, { count: 20 });
    await accepted(20);
    expect(held.open).to.equal(20);
    clock.advance(READY_MS);
    await until(() => held?.open === 0, { withinMs: 2000, what: "all connections are closed" });
  });

  it("closes a connection that sends no SETTINGS", async () => {
    const clock = new FakeClock(Date.now());
    const { address } = await serve({ clock });
    held = await halfPrefaces(address, { count: 20 });
    await accepted(20);
    clock.advance(READY_MS - 1);
    expect(held.open).to.equal(20);
    clock.advance(1);
    await until(() => held?.open === 0, { withinMs: 2000, what: "all connections are closed" });
  });

  it("closes an idle connection that was never authenticated, with a GOAWAY, and no other", async () => {
    const clock = new FakeClock(Date.now());
    const { address, client } = await serve({ clock });
    await client.isBlacklisted({ jtis: ["a"] });
    const unused = await Http2Connection.open(address);
    const used = await Http2Connection.open(address);
    const goaway = once(unused.session, "goaway");
    try {
      await used.send("/tokenblacklist.v1.TokenBlacklist/IsBlacklisted", Buffer.alloc(5));
      clock.advance(UNUSED_CONNECTION_MS);
      expect((await goaway)[0]).to.equal(0);
      await until(() => unused.session.destroyed, {
        withinMs: 2000,
        what: "the unused connection is closed",
      });
      clock.advance(10 * UNUSED_CONNECTION_MS);
      const answer = await used.send("/tokenblacklist.v1.TokenBlacklist/IsBlacklisted", Buffer.alloc(5));
      expect(answer.code).to.equal("INVALID_ARGUMENT");
    } finally {
      await Promise.all([unused.close(), used.close()]);
    }
  });

  describe("on connections whose header fields are counted, since a certificate would replace a lost token", () => {
    async function withCertificates(options: Partial<ServiceOptions> = {}) {
      authority = await createAuthority();
      const names = { certificate: "cert.pem", key: "key.pem" };
      const server = await authority.issue([{ type: "dns", value: "localhost" }]);
      for (const part of ["certificate", "key"] as const)
        await writeFile(join(folder, names[part]), server[part]);
      await writeFile(join(folder, "ca.pem"), authority.certificate);
      await writeFile(join(folder, "keys.json"), keySetOf(await createSigningKey("k1")));
      const { address, adminUrl, service } = await serve({
        env: {
          ...{ TLS_CERT_FILE: join(folder, "cert.pem"), TLS_KEY_FILE: join(folder, "key.pem") },
          ...{ TLS_CLIENT_CA_FILE: join(folder, "ca.pem"), TLS_CLIENT_ROLES: "DNS:a.test=list" },
          ...{
            AUTH_JWKS_FILE: join(folder, "keys.json"),
            AUTH_ISSUER: "https://id.test",
            AUTH_AUDIENCE: "us",
          },
        },
        ...options,
      });
      const own = await authority.issue([{ type: "dns", value: "a.test" }]);
      const open = () => RawCalls.open(address, { ca: authority.certificate, own });
      const list = (calls: RawCalls) =>
        calls.call("/tokenblacklist.v1.TokenBlacklist/List", [], Buffer.alloc(0));
      const seen = async () => {
        const metrics = await scrape(adminUrl);
        const { value } = metrics.get("tokenblacklist_connections")?.series[0] ?? {};
        return [value, metrics.get("tokenblacklist_unauthenticated_connections")?.series[0]?.value];
      };
      return { open, list, seen, service };
    }

    it("tracks authenticated and closed connections", async () => {
      const { open, list, seen } = await withCertificates();
      const calls = await open();
      expect(await seen()).to.deep.equal([1, 1]);
      expect(await list(calls)).to.include({ code: "OK" });
      expect(await seen()).to.deep.equal([1, 0]);
      calls.close();
      await until(async () => (await seen())[0] === 0, { withinMs: 2000, what: "the connection is closed" });
    });

    it("closes an idle one that was never authenticated, and no other", async () => {
      const clock = new FakeClock(Date.now());
      const { open, list } = await withCertificates({ clock });
      const [unused, used] = [await open(), await open()];
      expect(await list(used)).to.include({ code: "OK" });
      clock.advance(UNUSED_CONNECTION_MS);
      await until(() => unused.socket.destroyed, { withinMs: 2000, what: "the unused connection is closed" });
      clock.advance(10 * UNUSED_CONNECTION_MS);
      expect(await list(used)).to.include({ code: "OK" });
      used.close();
    });

    it("closes with the service, in time", async () => {
      const { open, list, service } = await withCertificates();
      const calls = await open();
      expect(await list(calls)).to.include({ code: "OK" });
      const closed = once(calls.socket, "close");
      const began = performance.now();
      await service.close();
      await closed;
      // Disconnecting after the grace takes longer: a second here.
      expect(performance.now() - began).to.be.lessThan(800);
    });

    it("passes on responses and requests of any size", async () => {
      const { open, list } = await withCertificates();
      const calls = await open();
      // An unauthenticated client that begins so many is disconnected.
      expect(await list(calls)).to.include({ code: "OK" });
      const path = "/grpc.health.v1.Health/List";
      for (let round = 0; round < 3; round++) {
        const answers = await Promise.all(
          Array.from({ length: 100 }, () => calls.call(path, [], Buffer.alloc(0))),
        );
        expect(answers.filter(({ code }) => code !== "OK")).to.deep.equal([]);
      }
      const tooLarge = await calls.call(
        "/tokenblacklist.v1.TokenBlacklist/List",
        [],
        Buffer.alloc(1_000_000),
      );
      expect(tooLarge.code).to.equal("INVALID_ARGUMENT");
      calls.close();
    });
  });
});
