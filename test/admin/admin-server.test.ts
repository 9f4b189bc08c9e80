import { expect } from "chai";
import { after, before, describe, it } from "mocha";
import { sharedRendering } from "../../src/admin/admin-server.ts";
import { MAX_ADMIN_CONNECTIONS, MAX_ADMIN_HEADER_BYTES, RENDERING_PAUSE_RATIO } from "../../src/limits.ts";
import { metricsAhead } from "../attacks/metrics-ahead.ts";
import { silentHttp, slowBodies, slowHeaders } from "../attacks/slow-http.ts";
import { backends, type FreshDatabase } from "../support/backends.ts";
import { holdConnections } from "../support/held-connections.ts";
import { rejection } from "../support/rejection.ts";
import { type RunningService, startService } from "../support/service.ts";
import { until } from "../support/until.ts";

// The probes while the database is unavailable are tested in test/grpc/outage.long.test.ts, and while draining in drain.long.test.ts.
describe("the admin address", () => {
  const [backend] = backends;
  let database: FreshDatabase;
  let running: RunningService;

  before(async () => {
    database = (await backend?.create()) as FreshDatabase;
    running = await startService({ url: database.url });
  });
  after(async () => {
    await running?.stop();
    await database?.dispose();
  });

  async function ask(path: string, method = "GET"): Promise<[number, string]> {
    const response = await fetch(running.adminUrl + path, { method });
    return [response.status, await response.text()];
  }

  it("reports that the process is alive and that it is serving", async () => {
    expect(await ask("/livez")).to.deep.equal([200, "alive\n"]);
    expect(await ask("/readyz")).to.deep.equal([200, "serving\n"]);
    expect(await ask("/livez", "HEAD")).to.deep.equal([200, ""]);
  });

  it("ignores the query and additions to the path", async () => {
    for (const path of ["/livez?x=1", "/livez/", "//livez", "/livez/?verbose", "/%6Civez"]) {
      expect([path, ...(await ask(path))]).to.deep.equal([path, 200, "alive\n"]);
    }
    expect(await ask("/readyz/?timeout=1s")).to.deep.equal([200, "serving\n"]);
    const [status, text] = await ask("/metrics?name=tokenblacklist_serving");
    expect([status, text.includes("tokenblacklist_serving 1\n")]).to.deep.equal([200, true]);
  });

  it("serves no other path and no other method", async () => {
    const nothing = [404, "GET /livez, /readyz or /metrics\n"];
    for (const path of ["/", "/livez/x", "/metrics/livez", "/healthz?/livez", "/LIVEZ"]) {
      expect([path, ...(await ask(path))]).to.deep.equal([path, ...nothing]);
    }
    for (const method of ["POST", "PUT", "DELETE"])
      expect(await ask("/livez", method)).to.deep.equal(nothing);
  });

  it("counts and times calls under the usual metric names, by method and code", async () => {
    await running.client.isBlacklisted({ jtis: ["a"] });
    await running.client.isBlacklisted({ jtis: ["b"] });
    await rejection(running.client.list({ pageSize: -1 }));
    const response = await fetch(`${running.adminUrl}/metrics`);
    expect(response.headers.get("content-type")).to.match(/^text\/plain; version=/);
    const lines = (await response.text()).split("\n");
    const service = 'grpc_type="unary",grpc_service="tokenblacklist.v1.TokenBlacklist"';
    expect(
      lines.filter(
        (line) => /^grpc_server_(started|handled|handling_seconds_count)/.test(line) && !line.endsWith(" 0"),
      ),
    ).to.deep.equal([
      `grpc_server_started_total{${service},grpc_method="IsBlacklisted"} 2`,
      `grpc_server_started_total{${service},grpc_method="List"} 1`,
      `grpc_server_handled_total{${service},grpc_method="IsBlacklisted",grpc_code="OK"} 2`,
      `grpc_server_handled_total{${service},grpc_method="List",grpc_code="InvalidArgument"} 1`,
      `grpc_server_handling_seconds_count{${service},grpc_method="IsBlacklisted"} 2`,
      `grpc_server_handling_seconds_count{${service},grpc_method="List"} 1`,
    ]);
    expect(lines).to.include("tokenblacklist_serving 1");
    expect(lines).to.include("tokenblacklist_pruned_entries_total 0");
  });

  describe("with unauthenticated peers", () => {
    const address = () => running.adminUrl.replace("http://", "");

    it("renders metrics for one request per connection at a time, and closes a connection that pipelines requests", async () => {
      expect(await metricsAhead(address(), { count: 1000, silentMs: 500 })).to.be.below(1_000_000);
      expect(await ask("/livez")).to.deep.equal([200, "alive\n"]);
    });

    it("closes a connection whose headers, body or first request do not arrive in time", async () => {
      const extent = { count: 5, forMs: 12_000 };
      const attacks = [slowHeaders, slowBodies, silentHttp].map((attack) => attack(address(), extent));
      for (const { closed } of await Promise.all(attacks)) expect(closed).to.equal(5);
    });

    it("accepts new connections while idle ones occupy its limit", async () => {
      const held = await holdConnections(address(), { count: 2 * MAX_ADMIN_CONNECTIONS });
      try {
        expect(await ask("/livez")).to.deep.equal([200, "alive\n"]);
        await until(() => held.open <= MAX_ADMIN_CONNECTIONS, {
          withinMs: 2000,
          what: "the oldest are closed",
        });
      } finally {
        held.release();
      }
    });

    it("refuses headers of more than 8 KiB", async () => {
      const headers = { "x-large": "x".repeat(MAX_ADMIN_HEADER_BYTES) };
      expect((await fetch(`${running.adminUrl}/livez`, { headers })).status).to.equal(431);
    });
  });
});

describe("sharedRendering", () => {
  it("renders once for all waiting callers, and never returns a rendering that began before the call", async () => {
    let begun = 0;
    let finish = () => {};
    const render = sharedRendering(() => {
      const number = ++begun;
      return new Promise<number>((resolve) => {
        finish = () => resolve(number);
      });
    });
    const first = [render(), render(), render()];
    await new Promise(setImmediate);
    expect(begun).to.equal(1);
    // They are too late for it.
    const second = [render(), render()];
    finish();
    expect(await Promise.all(first)).to.deep.equal([1, 1, 1]);
    while (begun < 2) await new Promise(setImmediate);
    finish();
    expect(await Promise.all(second)).to.deep.equal([2, 2]);
  });

  it("pauses after a rendering for several times its duration", async () => {
    const spans: [number, number][] = [];
    const render = sharedRendering(async () => {
      const began = performance.now();
      while (performance.now() - began < 10);
      spans.push([began, performance.now()]);
    });
    for (let times = 0; times < 3; times++) await render();
    for (const [index, [began]] of spans.entries()) {
      const before = spans[index - 1];
      if (before !== undefined)
        expect(began - before[1]).to.be.at.least(RENDERING_PAUSE_RATIO * (before[1] - before[0]));
    }
    expect(spans).to.have.lengthOf(3);
  });

  it("rejects only the callers that waited for a failed rendering", async () => {
    let times = 0;
    const render = sharedRendering(async () => {
      if (++times === 1) throw new Error("no");
      return times;
    });
    const failed = [render(), render()];
    expect(await Promise.all(failed.map(rejection))).to.have.lengthOf(2);
    expect(await render()).to.equal(2);
  });
});
