import { expect } from "chai";
import type { BlacklistClient } from "../../src/client/blacklist-client.ts";
import { type ConnectOptions, connect } from "../../src/client/connect.ts";
import { FaultProxy } from "../support/fault-proxy.ts";
import { type RunningService, startService } from "../support/service.ts";
import { freshFolder } from "../support/shared.ts";
import { until } from "../support/until.ts";

const WHEN: Readonly<Record<string, (client: BlacklistClient) => Promise<unknown> | undefined>> = {
  "in the turn in which it was opened": () => undefined,
  "while it connects": () => new Promise(setImmediate),
  "once it is ready": (client) =>
    until(() => client.state === "ready", { withinMs: 10_000, what: "the client is ready" }),
  "with a check in flight": async (client) => void client.isBlacklisted("a").catch(() => {}),
  "after a check": (client) => client.isBlacklisted("a"),
};

describe("a closed client", () => {
  let service: RunningService;
  let proxy: FaultProxy;

  beforeEach(async () => {
    service = await startService({ url: `sqlite:${await freshFolder()}/x.db` });
    proxy = await FaultProxy.start({ port: Number(service.address.split(":").at(-1)) });
  });

  afterEach(async () => {
    await proxy.close();
    await service.stop();
  });

  it("does not reconnect", async () => {
    const address = `127.0.0.1:${proxy.port}`;
    for (let count = 0; count < 2; count++) {
      const client = connect({ address });
      await client.isBlacklisted("a");
      client.close();
    }
    await until(() => proxy.openConnections === 0, { withinMs: 10_000, what: "all connections are closed" });
    expect(proxy.counts.accepted).to.equal(2);
  });

  const addresses: Readonly<Record<string, (port: number) => ConnectOptions["address"]>> = {
    "one address": (port) => `127.0.0.1:${port}`,
    "several addresses": (port) => [`127.0.0.1:${port}`, `127.0.0.1:${port}`],
    "a name": (port) => `dns:///localhost:${port}`,
  };
  for (const [what, addressOf] of Object.entries(addresses)) {
    for (const mode of ["remote", "local"] as const) {
      for (const [when, act] of Object.entries(WHEN)) {
        it(`leaves no connection behind: ${mode}, ${what}, ${when}`, async () => {
          const address = addressOf(proxy.port);
          const client = connect({ address, mode });
          // Awaited only if there is something to wait for, since awaiting takes another turn.
          const acted = act(client);
          if (acted !== undefined) await acted;
          client.close();
          // By the time that another client has its response, a late connection would exist, too.
          const other = connect({ address });
          await other.isBlacklisted("a");
          other.close();
          await until(() => proxy.openConnections === 0, {
            withinMs: 10_000,
            what: "all connections are closed",
          });
        });
      }
    }
  }
});
