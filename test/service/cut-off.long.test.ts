import { expect } from "chai";
import { migrate } from "../../src/start/migrate.ts";
import { parseDatabaseUrl } from "../../src/store/database-url.ts";
import { needsProcessUsage, processUsage } from "../soak/process-usage.ts";
import { FaultProxy } from "../support/fault-proxy.ts";
import { YEAR_2100 } from "../support/revoke.ts";
import { type ServiceProcess, serveProcess } from "../support/service-process.ts";
import { freshDatabase } from "../support/shared.ts";
import { until } from "../support/until.ts";

const ROUNDS = 4;

describe("a service whose database connections were silently dropped", function () {
  this.timeout(60_000);
  let database: Awaited<ReturnType<typeof freshDatabase>>;
  let proxy: FaultProxy;
  let service: ServiceProcess;

  beforeEach(async () => {
    database = await freshDatabase();
    await migrate("up", parseDatabaseUrl(database.url), () => {});
    proxy = await FaultProxy.start({ port: Number(new URL(database.url).port) });
    service = await serveProcess({
      DATABASE_URL: proxy.through(database.url),
      SHUTDOWN_GRACE: "10s",
      AUDIT_LOG: "off",
      LOG_LEVEL: "info",
    });
    await use();
  });

  afterEach(async () => {
    await service.kill();
    await proxy.close();
    await database.dispose();
  });

  /** Uses all of its connections. */
  async function use(): Promise<void> {
    const { client } = service;
    const token = { token: { case: "jti", value: "a" } as const, expiresAt: YEAR_2100 };
    await client.blacklist({ tokens: [token] });
    await client.isBlacklisted({ jtis: ["b"] });
    await client.list({});
  }

  /** Silently drops open connections, and accepts new ones. */
  async function cutOff(): Promise<void> {
    proxy.blackhole();
    await use().catch(() => {});
    await proxy.heal();
    const isBack = () =>
      use().then(
        () => true,
        () => false,
      );
    await until(isBack, { withinMs: 10_000, what: "the service answers again" });
  }

  it("holds no descriptor for them", async function () {
    needsProcessUsage(this);
    const { pid } = service.process;
    await cutOff();
    const before = (await processUsage(pid))?.descriptors ?? 0;
    for (let round = 0; round < ROUNDS; round++) await cutOff();
    const after = (await processUsage(pid))?.descriptors ?? 0;
    expect(after - before).to.be.below(ROUNDS);
  });

  it("stops on SIGTERM well within its grace", async () => {
    await cutOff();
    const began = performance.now();
    await service.process.signal("SIGTERM");
    const { code, stdout } = await service.process.ended;
    expect({ code, overdue: stdout.includes("shutdown timed out") }).to.deep.equal({
      code: 0,
      overdue: false,
    });
    expect(performance.now() - began).to.be.below(5000);
  });
});
