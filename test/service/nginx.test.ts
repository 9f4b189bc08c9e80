import { readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type OutgoingHttpHeaders, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { expect } from "chai";
import { freePort } from "../support/free-port.ts";
import { ask } from "../support/http-ask.ts";
import { type Nginx, startNginx } from "../support/nginx.ts";
import { type RunningService, startService } from "../support/service.ts";
import { freshFolder } from "../support/shared.ts";
import { shownJwt } from "../support/shown-jwt.ts";

const YEAR_2100 = { seconds: 4_102_444_800n, nanos: 0 };
const bearer = (jti: unknown) => `Bearer ${shownJwt({ sub: "alice", jti })}`;

/** The configuration that docs/gateways.md gives, with the addresses of this test. */
async function documentedConfig(addresses: Readonly<Record<string, string>>): Promise<string> {
  const page = await readFile(new URL("../../docs/gateways.md", import.meta.url), "utf8");
  const [, config = ""] = /```nginx\n(.*?)```/s.exec(page) ?? [];
  return Object.entries(addresses).reduce((text, [documented, ours]) => {
    expect(text.split(documented), documented).to.have.length(2);
    return text.replace(documented, ours);
  }, config);
}

describe("an application behind NGINX, as the documents configure it", () => {
  let folder: string;
  let url: string;
  let authzPort: number;
  let application: Server;
  let nginx: Nginx;
  let running: RunningService;
  const received: IncomingMessage[] = [];

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
    application = createServer((request, response) => {
      received.push(request);
      const status = request.url === "/orders/broken" ? 500 : 200;
      request.resume().once("end", () => response.writeHead(status).end("the application\n"));
    });
    await new Promise<void>((resolve) => application.listen(0, "127.0.0.1", resolve));
    const http = await documentedConfig({
      "listen 8080;": `listen 127.0.0.1:${port};`,
      "server 127.0.0.1:9465;": `server 127.0.0.1:${authzPort};`,
      "http://127.0.0.1:3000": `http://127.0.0.1:${(application.address() as AddressInfo).port}`,
    });
    nginx = await startNginx(this, { http, port });
  });
  after(async () => {
    await nginx?.stop();
    application?.closeAllConnections();
    await new Promise((resolve) => application?.close(resolve));
  });

  beforeEach(async () => {
    running = await serve();
    await running.client.blacklist({
      tokens: [{ token: { case: "jti", value: "gone" }, expiresAt: YEAR_2100 }],
    });
    received.length = 0;
  });
  afterEach(() => running.stop());

  /** What the client is told, and what of it reached the application. */
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
      fromApplication: body === "the application\n",
    };
  }

  const LIVE = { status: 200, fromApplication: true };
  const invalid = (description: string) => ({
    status: 401,
    challenge: `Bearer error="invalid_token", error_description="${description}"`,
    fromApplication: false,
  });
  const CANNOT_TELL = { status: 503, retryAfter: "1", fromApplication: false };

  it("gets requests with a live token, and none with a revoked one", async () => {
    expect([await send(bearer("live")), await send(bearer("gone"))]).to.deep.equal([
      LIVE,
      invalid("the access token is revoked"),
    ]);
    expect(received.map(({ headers }) => headers.authorization)).to.deep.equal([bearer("live")]);
  });

  it("gets none without a token that can be judged", async () => {
    expect([
      await send(undefined),
      await send("Basic dXNlcjpwYXNz"),
      await send("Bearer opaque"),
      await send(bearer(7)),
      await send(`Bearer ${"A".repeat(20_000)}`),
    ]).to.deep.equal([
      { status: 401, challenge: "Bearer", fromApplication: false },
      { status: 401, challenge: "Bearer", fromApplication: false },
      invalid("the access token is malformed or not the only one"),
      invalid("the access token is malformed or not the only one"),
      // More than NGINX itself takes.
      { status: 400, fromApplication: false },
    ]);
    expect(received).to.deep.equal([]);
  });

  it("gets the credential that was judged, and no other, where a client sends two", async () => {
    for (const pair of [
      [bearer("live"), bearer("gone")],
      [bearer("gone"), bearer("live")],
    ]) {
      received.length = 0;
      const { status } = await send(pair);
      const sent = received.map(({ headersDistinct }) => headersDistinct.authorization);
      // NGINX 1.22 refuses both by itself; versions differ in what they do.
      if (status === 200) expect(sent).to.deep.equal([[bearer("live")]]);
      else expect([status, sent]).to.deep.equal([status === 401 ? 401 : 400, []]);
    }
  });

  it("gets the body that was sent, and answers with errors of its own", async () => {
    const body = Buffer.alloc(100_000, "x");
    expect(await send(bearer("live"), { method: "POST", body })).to.deep.equal(LIVE);
    expect(await send(bearer("live"), { path: "/broken" })).to.deep.equal({
      status: 500,
      fromApplication: true,
    });
  });

  it("hears of a revocation with the next request", async () => {
    for (let round = 0; round < 50; round++) {
      const jti = `round ${round}`;
      expect(await send(bearer(jti))).to.deep.equal(LIVE);
      await running.client.blacklist({
        tokens: [{ token: { case: "jti", value: jti }, expiresAt: YEAR_2100 }],
      });
      expect((await send(bearer(jti))).status).to.equal(401);
    }
  });

  it("gets nothing on any answer but a pass", async () => {
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
      expect(received).to.deep.equal([]);
      expect(await send("204")).to.deep.equal(LIVE);
    } finally {
      stub.closeAllConnections();
      await new Promise((resolve) => stub.close(resolve));
    }
  });

  it("gets nothing while the service is stopped, and goes on once it is back", async () => {
    expect(await send(bearer("live"))).to.deep.equal(LIVE);
    await running.stop();
    received.length = 0;
    for (const authorization of [bearer("live"), bearer("gone"), undefined]) {
      expect(await send(authorization)).to.deep.equal(CANNOT_TELL);
    }
    expect(received).to.deep.equal([]);
    running = await serve();
    expect([await send(bearer("live")), (await send(bearer("gone"))).status]).to.deep.equal([LIVE, 401]);
  });
});
