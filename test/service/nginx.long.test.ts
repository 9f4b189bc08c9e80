import { readFile } from "node:fs/promises";
import { createServer, type OutgoingHttpHeaders } from "node:http";
import { join } from "node:path";
import { expect } from "chai";
import { Application, FROM_APPLICATION } from "../support/application.ts";
import { freePort } from "../support/free-port.ts";
import { ask } from "../support/http-ask.ts";
import { adapted } from "../support/markdown.ts";
import { type Nginx, startNginx } from "../support/nginx.ts";
import { revoke } from "../support/revoke.ts";
import { type RunningService, startService } from "../support/service.ts";
import { freshFolder } from "../support/shared.ts";
import { unsignedBearer } from "../support/unsigned-jwt.ts";

/** The configuration in docs/gateways.md, with the addresses of this test. */
async function documentedConfig(
  addresses: Readonly<Record<string, string>>,
  { preflights = false } = {},
): Promise<string> {
  const page = await readFile(new URL("../../docs/gateways.md", import.meta.url), "utf8");
  const [config = "", map = "", passes = ""] = [...page.matchAll(/```nginx\n(.*?)```/gs)].map(
    ([, block]) => block,
  );
  const replaced = adapted(config, addresses);
  if (!preflights) return replaced;
  const top = "    internal;\n    proxy_pass";
  return map + adapted(replaced, { [top]: `    internal;\n    ${passes.trim()}\n    proxy_pass` });
}

describe("an application behind NGINX, configured as documented", () => {
  let folder: string;
  let url: string;
  let authzPort: number;
  let application: Application;
  let nginx: Nginx;
  let running: RunningService;

  function serve(): Promise<RunningService> {
    return startService({
      url: `sqlite:${join(folder, "x.db")}`,
      env: { AUTHZ_ADDRESS: `127.0.0.1:${authzPort}`, UNVERIFIED_BEARER: "on" },
    });
  }

  before(async function () {
    folder = await freshFolder();
    authzPort = await freePort();
    const port = await freePort();
    url = `http://127.0.0.1:${port}/orders`;
    application = await Application.start();
    const http = await documentedConfig({
      "listen 8080;": `listen 127.0.0.1:${port};`,
      "server 127.0.0.1:9465;": `server 127.0.0.1:${authzPort};`,
      "http://127.0.0.1:3000": `http://${application.address}`,
    });
    nginx = await startNginx(this, { http, port });
  });
  after(async () => {
    await nginx?.stop();
    await application?.stop();
  });

  beforeEach(async () => {
    running = await serve();
    await revoke(running, "gone");
    application.received.length = 0;
  });
  afterEach(() => running.stop());

  /** The client's response, and the request that reached the application. */
  async function send(
    authorization: string | string[] | undefined,
    options: { method?: string; body?: Buffer; path?: string } = {},
  ) {
    const { path = "", ...rest } = options;
    const headers: OutgoingHttpHeaders = authorization === undefined ? {} : { Authorization: authorization };
    const { status, headers: answered, body } = await ask(url + path, { headers, ...rest });
    const challenge = answered["www-authenticate"];
    return {
      status,
      ...(challenge === undefined ? {} : { challenge }),
      ...(answered["retry-after"] === undefined ? {} : { retryAfter: answered["retry-after"] }),
      fromApplication: body === FROM_APPLICATION,
    };
  }

  const LIVE = { status: 200, fromApplication: true };
  const invalid = (description: string) => ({
    status: 401,
    challenge: `Bearer error="invalid_token", error_description="${description}"`,
    fromApplication: false,
  });
  const CANNOT_TELL = { status: 503, retryAfter: "1", fromApplication: false };

  it("receives requests with a valid token, and none with a revoked one", async () => {
    expect([await send(unsignedBearer("live")), await send(unsignedBearer("gone"))]).to.deep.equal([
      LIVE,
      invalid("the access token is revoked"),
    ]);
    expect(application.received.map(({ headers }) => headers.authorization)).to.deep.equal([
      unsignedBearer("live"),
    ]);
  });

  it("receives none without an identifiable token", async () => {
    expect([
      await send(undefined),
      await send("Basic dXNlcjpwYXNz"),
      await send("Bearer opaque"),
      await send(unsignedBearer(7)),
      await send(`Bearer ${"A".repeat(20_000)}`),
    ]).to.deep.equal([
      { status: 401, challenge: "Bearer", fromApplication: false },
      { status: 401, challenge: "Bearer", fromApplication: false },
      invalid("the access token is malformed or not the only credential"),
      invalid("the access token is malformed or not the only credential"),
      // More than NGINX accepts.
      { status: 400, fromApplication: false },
    ]);
    expect(application.received).to.deep.equal([]);
  });

  it("receives the credential that was checked if a client sends two", async () => {
    for (const pair of [
      [unsignedBearer("live"), unsignedBearer("gone")],
      [unsignedBearer("gone"), unsignedBearer("live")],
    ]) {
      application.received.length = 0;
      const { status } = await send(pair);
      const sent = application.received.map(({ headersDistinct }) => headersDistinct.authorization);
      // NGINX 1.22 refuses both; versions differ.
      if (status === 200) expect(sent).to.deep.equal([[unsignedBearer("live")]]);
      else expect([status, sent]).to.deep.equal([status === 401 ? 401 : 400, []]);
    }
  });

  it("receives the body that was sent, and returns its own errors", async () => {
    const body = Buffer.alloc(100_000, "x");
    expect(await send(unsignedBearer("live"), { method: "POST", body })).to.deep.equal(LIVE);
    expect(await send(unsignedBearer("live"), { path: "/broken" })).to.deep.equal({
      status: 500,
      fromApplication: true,
    });
  });

  it("is protected for every query, fragment and method, by the token only", async () => {
    for (const path of ["?page=2", "?next=/authz", "/a/../b?x=%", "//x"]) {
      for (const method of ["GET", "PUT", "OPTIONS"]) {
        expect([path, method, await send(unsignedBearer("live"), { path, method })]).to.deep.equal([
          path,
          method,
          LIVE,
        ]);
        const { status } = await send(unsignedBearer("gone"), { path, method });
        expect([path, method, status]).to.deep.equal([path, method, 401]);
      }
    }
  });

  it("receives preflights without a token if NGINX bypasses the check for them, and nothing similar", async function () {
    const port = await freePort();
    const http = await documentedConfig(
      {
        "listen 8080;": `listen 127.0.0.1:${port};`,
        "server 127.0.0.1:9465;": `server 127.0.0.1:${authzPort};`,
        "http://127.0.0.1:3000": `http://${application.address}`,
      },
      { preflights: true },
    );
    const second = await startNginx(this, { http, port });
    const at = `http://127.0.0.1:${port}/orders?page=2`;
    const preflight = { origin: "https://shop.example", "access-control-request-method": "PUT" };
    const statusOf = async (method: string, headers: OutgoingHttpHeaders) =>
      (await ask(at, { method, headers })).status;
    try {
      expect([
        await statusOf("OPTIONS", preflight),
        await statusOf("GET", preflight),
        await statusOf("OPTIONS", {}),
        await statusOf("OPTIONS", { ...preflight, cookie: "session=1" }),
        await statusOf("OPTIONS", { ...preflight, authorization: "Basic eDp5" }),
        await statusOf("OPTIONS", { ...preflight, authorization: unsignedBearer("gone") }),
        await statusOf("OPTIONS", { ...preflight, authorization: unsignedBearer("live") }),
        await statusOf("GET", { ...preflight, "x-http-method-override": "OPTIONS" }),
      ]).to.deep.equal([200, 401, 401, 401, 401, 401, 200, 401]);
      // Without the two lines it is denied.
      expect((await ask(url, { method: "OPTIONS", headers: preflight })).status).to.equal(401);
    } finally {
      await second.stop();
    }
  });

  it("is protected from the first request after a revocation", async () => {
    for (let round = 0; round < 50; round++) {
      const jti = `round ${round}`;
      expect(await send(unsignedBearer(jti))).to.deep.equal(LIVE);
      await revoke(running, jti);
      expect((await send(unsignedBearer(jti))).status).to.equal(401);
    }
  });

  it("receives nothing unless the response is a pass", async () => {
    await running.stop();
    const stub = createServer((request, response) => {
      request.resume().once("end", () => response.writeHead(Number(request.headers.authorization)).end());
    });
    await new Promise<void>((resolve) => stub.listen(authzPort, "127.0.0.1", resolve));
    try {
      for (const status of [301, 302, 400, 404, 408, 429, 431, 500, 502, 503, 504]) {
        expect([status, await send(String(status))]).to.deep.equal([status, CANNOT_TELL]);
      }
      expect(await send("403")).to.deep.equal({ status: 403, fromApplication: false });
      expect(application.received).to.deep.equal([]);
      expect(await send("204")).to.deep.equal(LIVE);
    } finally {
      stub.closeAllConnections();
      await new Promise((resolve) => stub.close(resolve));
    }
  });

  it("receives nothing while the service is stopped, and continues afterwards", async () => {
    expect(await send(unsignedBearer("live"))).to.deep.equal(LIVE);
    await running.stop();
    application.received.length = 0;
    for (const authorization of [unsignedBearer("live"), unsignedBearer("gone"), undefined]) {
      expect(await send(authorization)).to.deep.equal(CANNOT_TELL);
    }
    expect(application.received).to.deep.equal([]);
    running = await serve();
    expect([await send(unsignedBearer("live")), (await send(unsignedBearer("gone"))).status]).to.deep.equal([
      LIVE,
      401,
    ]);
  });
});
