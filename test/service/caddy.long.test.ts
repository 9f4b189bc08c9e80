import { readFile } from "node:fs/promises";
import type { OutgoingHttpHeaders } from "node:http";
import { join } from "node:path";
import { expect } from "chai";
import { Application } from "../support/application.ts";
import { type Caddy, startCaddy } from "../support/caddy.ts";
import { freePort } from "../support/free-port.ts";
import { ask } from "../support/http-ask.ts";
import { adapted } from "../support/markdown.ts";
import { revoke } from "../support/revoke.ts";
import { type RunningService, startService } from "../support/service.ts";
import { freshFolder } from "../support/shared.ts";
import { unsignedBearer } from "../support/unsigned-jwt.ts";

const PREFLIGHT = { origin: "https://shop.example", "access-control-request-method": "PUT" };

/** The configurations in docs/gateways.md: with every request checked, and with preflights bypassing the check. */
async function documentedSites(addresses: Readonly<Record<string, string>>): Promise<readonly string[]> {
  const page = await readFile(new URL("../../docs/gateways.md", import.meta.url), "utf8");
  return [...page.matchAll(/```caddyfile\n(.*?)```/gs)].map(([, block = ""]) => adapted(block, addresses));
}

describe("an application behind Caddy, configured as documented", () => {
  let folder: string;
  let authzPort: number;
  let ports: { readonly all: number; readonly butPreflights: number };
  let application: Application;
  let caddy: Caddy;
  let running: RunningService;

  function serve(env: Record<string, string> = {}): Promise<RunningService> {
    return startService({
      url: `sqlite:${join(folder, "x.db")}`,
      env: { AUTHZ_ADDRESS: `127.0.0.1:${authzPort}`, UNVERIFIED_BEARER: "on", ...env },
    });
  }

  before(async function () {
    folder = await freshFolder();
    authzPort = await freePort();
    ports = { all: await freePort(), butPreflights: await freePort() };
    application = await Application.start();
    const [all = "", butPreflights = ""] = await documentedSites({
      "127.0.0.1:9465": `127.0.0.1:${authzPort}`,
      "127.0.0.1:3000": application.address,
    });
    const at = (site: string, own: number) => site.replace("shop.example {", `http://127.0.0.1:${own} {`);
    const sites = at(all, ports.all) + at(butPreflights, ports.butPreflights);
    caddy = await startCaddy(this, { sites, port: ports.all });
  });
  after(async () => {
    await caddy?.stop();
    await application?.stop();
  });

  beforeEach(async () => {
    running = await serve();
    await revoke(running, "gone");
    application.received.length = 0;
  });
  afterEach(() => running.stop());

  const send = (
    headers: OutgoingHttpHeaders,
    { port = ports.all, ...options }: { port?: number; method?: string; path?: string; body?: Buffer } = {},
  ) => ask(`http://127.0.0.1:${port}/orders`, { headers, ...options });
  const statusOf = async (...args: Parameters<typeof send>) => (await send(...args)).status;
  const [live, gone] = [{ authorization: unsignedBearer("live") }, { authorization: unsignedBearer("gone") }];

  it("receives requests with a valid token, and none with a revoked one, for any path", async () => {
    for (const path of [
      "/orders",
      "/orders?page=2",
      "/?next=/authz",
      "/authz",
      "//orders/?x=%25",
      "/livez",
    ]) {
      expect([path, await statusOf(live, { path }), await statusOf(gone, { path })]).to.deep.equal([
        ...[path, 200, 401],
      ]);
    }
    expect(application.received.map(({ headers }) => headers.authorization)).to.deep.equal(
      Array(6).fill(live.authorization),
    );
  });

  it("receives every method, and the body that was sent", async () => {
    const body = Buffer.alloc(100_000, "x");
    for (const method of ["POST", "PUT", "DELETE", "OPTIONS", "PROPFIND"]) {
      const sent = { method, path: "/orders?page=2", body };
      expect([method, await statusOf(live, sent), await statusOf(gone, sent)]).to.deep.equal([
        method,
        200,
        401,
      ]);
    }
    const handshake = { connection: "upgrade", upgrade: "websocket", "sec-websocket-version": "13" };
    expect([
      await statusOf({ ...live, ...handshake }),
      await statusOf({ ...gone, ...handshake }),
    ]).to.deep.equal([200, 401]);
  });

  it("passes the service's explanation to the client", async () => {
    const { headers } = await send(gone);
    expect(headers["www-authenticate"]).to.equal(
      'Bearer error="invalid_token", error_description="the access token is revoked"',
    );
    expect(await statusOf({})).to.equal(401);
  });

  it("receives preflights without a token if Caddy bypasses the check for them, and nothing similar", async () => {
    const { butPreflights: port } = ports;
    expect([
      await statusOf(PREFLIGHT, { method: "OPTIONS", path: "/orders?page=2", port }),
      await statusOf(PREFLIGHT, { method: "GET", port }),
      await statusOf({ ...PREFLIGHT, "x-forwarded-method": "OPTIONS" }, { method: "GET", port }),
      await statusOf({}, { method: "OPTIONS", port }),
      await statusOf(gone, { path: "/orders?page=2", port }),
      await statusOf(live, { path: "/orders?page=2", port }),
    ]).to.deep.equal([200, 401, 401, 401, 401, 200]);
    expect(await statusOf(PREFLIGHT, { method: "OPTIONS" })).to.equal(401);
  });

  it("receives preflights if the service passes them, and no request disguised as one", async () => {
    await running.stop();
    running = await serve({ AUTHZ_PREFLIGHT: "allow", AUTHZ_METHOD_HEADER: "X-Forwarded-Method" });
    expect([
      await statusOf(PREFLIGHT, { method: "OPTIONS" }),
      await statusOf({ ...PREFLIGHT, "x-forwarded-method": "OPTIONS" }, { method: "DELETE" }),
      await statusOf({ ...PREFLIGHT, cookie: "session=1" }, { method: "OPTIONS" }),
      await statusOf({ ...PREFLIGHT, ...gone }, { method: "OPTIONS" }),
    ]).to.deep.equal([200, 401, 401, 401]);
  });

  it("receives nothing while the service is stopped, and continues afterwards", async () => {
    await running.stop();
    for (const headers of [live, gone, {}]) expect(await statusOf(headers)).to.be.within(500, 599);
    expect(application.received).to.deep.equal([]);
    running = await serve();
    expect([await statusOf(live), await statusOf(gone)]).to.deep.equal([200, 401]);
  });
});
