import { once } from "node:events";
import { connect } from "node:net";
import { join } from "node:path";
import { expect } from "chai";
import {
  MAX_AUTHZ_BODY_BYTES,
  MAX_AUTHZ_HEADER_BYTES,
  MAX_AUTHZ_UNANSWERED,
  MAX_JWT_BYTES,
} from "../../src/limits.ts";
import { FaultyDatabase } from "../support/faulty-database.ts";
import { watchHealth } from "../support/health-client.ts";
import { ask, type HttpAnswer } from "../support/http-ask.ts";
import { RawChannel } from "../support/raw-channel.ts";
import { rejection } from "../support/rejection.ts";
import { revoke } from "../support/revoke.ts";
import { startService } from "../support/service.ts";
import { freshFolder, sharedMysql } from "../support/shared.ts";
import { unsignedBearer } from "../support/unsigned-jwt.ts";
import { until } from "../support/until.ts";

const COMMON = { "cache-control": "no-store", "content-type": "text/plain; charset=utf-8" };
const REVOKED = invalidToken("the access token is revoked");
const MALFORMED = invalidToken("the access token is malformed or not the only credential");
const NO_JTI = invalidToken("the access token has no jti");
const NO_TOKEN = denial(401, { "www-authenticate": "Bearer" }, "an access token is required\n");
const UNKNOWN = denial(
  503,
  { "retry-after": "1" },
  "it is currently unknown whether the access token is revoked\n",
);
const PASSES: HttpAnswer = { status: 204, headers: { "cache-control": "no-store" }, body: "" };

function denial(status: number, headers: Record<string, string>, body: string): HttpAnswer {
  return {
    status,
    headers: { ...headers, ...COMMON, "content-length": String(Buffer.byteLength(body)) },
    body,
  };
}

function invalidToken(description: string): HttpAnswer {
  const challenge = `Bearer error="invalid_token", error_description="${description}"`;
  return denial(401, { "www-authenticate": challenge }, `${description}\n`);
}

describe("an authorization request over HTTP", () => {
  const stops: (() => unknown)[] = [];
  afterEach(async () => {
    for (const stop of stops.splice(0).reverse()) await stop();
  });

  async function serve(env: Record<string, string> = {}, url?: string) {
    const running = await startService({
      url: url ?? `sqlite:${join(await freshFolder(), "x.db")}`,
      env: { AUTHZ_ADDRESS: "127.0.0.1:0", AUTHZ_JTI_HEADER: "X-Token-Id", ...env },
    });
    stops.push(() => running.stop());
    const port = running.service.authzAddress?.port ?? 0;
    const authz = `http://127.0.0.1:${port}/authz`;
    const told = (headers: Record<string, string | string[]>, method = "GET") =>
      ask(authz, { headers, method });
    return { running, port, authz, told };
  }

  /** Header values are bytes, which Node.js decodes as Latin-1. */
  const asBytes = (text: string) => Buffer.from(text).toString("latin1");

  it("is not served by default", async () => {
    const running = await startService({ url: `sqlite:${join(await freshFolder(), "x.db")}` });
    stops.push(() => running.stop());
    expect(running.service.authzAddress).to.equal(undefined);
  });

  it("is decided by the jti from the proxy, with any characters", async () => {
    const { running, told } = await serve();
    for (const jti of ["5f0c2a6e", "a b", 'é"ａ', "\uFEFFx", "x".repeat(255)]) {
      const headers = { "x-token-id": asBytes(jti) };
      expect([jti, await told(headers)]).to.deep.equal([jti, PASSES]);
      await revoke(running, jti);
      expect([jti, await told(headers)]).to.deep.equal([jti, REVOKED]);
    }
  });

  it("is decided alike for every method, with an empty body for HEAD", async () => {
    const { running, told } = await serve();
    await revoke(running, "gone");
    for (const method of ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND"]) {
      expect([method, await told({ "x-token-id": "live" }, method)]).to.deep.equal([method, PASSES]);
      expect([method, await told({ "x-token-id": "gone" }, method)]).to.deep.equal([method, REVOKED]);
    }
    expect(await told({ "x-token-id": "gone" }, "HEAD")).to.deep.equal({ ...REVOKED, body: "" });
  });

  const UNNAMED: Record<string, [headers: Record<string, string | string[]>, expected: HttpAnswer]> = {
    "no header at all": [{}, NO_TOKEN],
    "an empty one": [{ "x-token-id": "" }, NO_TOKEN],
    "another scheme": [{ authorization: "Basic dXNlcjpwYXNz" }, NO_TOKEN],
    "a bearer token that is not read": [{ authorization: unsignedBearer("a") }, NO_JTI],
    "two jtis": [{ "x-token-id": ["a", "b"] }, MALFORMED],
    "two jtis, joined": [{ "x-token-id": "a, b" }, MALFORMED],
    "a jti that is no UTF-8": [{ "x-token-id": "a\xff" }, MALFORMED],
    "a jti of 256 bytes": [{ "x-token-id": "x".repeat(256) }, MALFORMED],
    "two bearer tokens": [
      { "x-token-id": "a", authorization: [unsignedBearer("a"), unsignedBearer("gone")] },
      MALFORMED,
    ],
  };
  it("is answered with 401 without a single identifiable token", async () => {
    const { told } = await serve();
    for (const [name, [headers, expected]] of Object.entries(UNNAMED)) {
      expect([name, await told(headers)]).to.deep.equal([name, expected]);
    }
  });

  it("passes without a token if configured, but not with an invalid one", async () => {
    const { told } = await serve({ MISSING_JTI: "allow" });
    for (const [name, [headers, expected]] of Object.entries(UNNAMED)) {
      expect([name, await told(headers)]).to.deep.equal([name, expected === MALFORMED ? MALFORMED : PASSES]);
    }
  });

  it("is decided by the bearer token itself if configured", async () => {
    const { running, told } = await serve({ UNVERIFIED_BEARER: "on" });
    await revoke(running, "gone");
    const cases: [Record<string, string>, HttpAnswer][] = [
      [{ authorization: unsignedBearer("live") }, PASSES],
      [{ authorization: unsignedBearer("gone") }, REVOKED],
      [{ authorization: unsignedBearer(undefined) }, NO_JTI],
      [{ authorization: "Bearer opaque" }, MALFORMED],
      [{ "x-token-id": "live", authorization: unsignedBearer("live") }, PASSES],
      [{ "x-token-id": "gone", authorization: unsignedBearer("gone") }, REVOKED],
      [{ "x-token-id": "live", authorization: unsignedBearer("gone") }, MALFORMED],
      [{ "x-token-id": "gone", authorization: unsignedBearer("live") }, MALFORMED],
    ];
    for (const [index, [headers, expected]] of cases.entries()) {
      expect([index, await told(headers)]).to.deep.equal([index, expected]);
    }
  });

  it("never passes a revoked token that is damaged, repeated or under an unusual name, even if a token is optional", async () => {
    const { running, port } = await serve({ UNVERIFIED_BEARER: "on", MISSING_JTI: "allow" });
    await revoke(running, "gone");
    const statusOf = async (fields: string) => {
      const socket = connect(port, "127.0.0.1");
      socket.on("error", () => {});
      let answer = "";
      socket.on("data", (chunk) => {
        answer += chunk;
      });
      const head = `GET /authz HTTP/1.1\r\nHost: x\r\n${fields}\r\nConnection: close\r\n\r\n`;
      socket.write(Buffer.from(head, "latin1"));
      await once(socket, "close");
      return Number(/^HTTP\/1.1 (\d+)/.exec(answer)?.[1]);
    };
    const [gone, live] = [unsignedBearer("gone"), unsignedBearer("live")];
    const field = (value: string) => `Authorization: ${value}`;
    const DAMAGED: Record<string, string> = {
      "a tab behind it": field(`${gone}\t`),
      "a tab before it": `Authorization:\t${gone}`,
      "a tab in place of the space": field(gone.replace(" ", "\t")),
      "NUL behind it": field(`${gone}\0`),
      "a control character before it": field(`\x01${gone}`),
      "DEL behind it": field(`${gone}\x7f`),
      "a no-break space behind it": field(`${gone}\xa0`),
      "a no-break space in place of the space": field(gone.replace(" ", "\xa0")),
      "UTF-8 behind it": field(`${gone}\xc3\xa9`),
      "a comma behind it": field(`${gone},`),
      "a second one after a comma": field(`${live}, ${gone}`),
      "a second field": `${field(live)}\r\n${field(gone)}`,
      "an empty second field": `${field(gone)}\r\n${field("")}`,
      "an empty field before it": `${field("")}\r\n${field(gone)}`,
      "another scheme before it": `${field("Basic eDp5")}\r\n${field(gone)}`,
      "a space in the field's name": `Authorization : ${gone}`,
      "a line that goes on": `Authorization: Bearer\r\n ${gone.slice(7)}`,
      "a bare line feed": `X: y\n${field(gone)}`,
      "no scheme": field(gone.slice(7)),
      "no space": field(gone.replace(" ", "")),
      "quotes around it": field(`"${gone}"`),
    };
    for (const [name, fields] of Object.entries(DAMAGED)) {
      expect(await statusOf(fields), name).to.be.oneOf([400, 401]);
    }
    expect([await statusOf(field(live)), await statusOf(field(gone))]).to.deep.equal([204, 401]);
  });

  it("accepts the largest valid token", async () => {
    const { running, told } = await serve({ UNVERIFIED_BEARER: "on" });
    await revoke(running, "gone");
    const largest = (jti: string) => unsignedBearer(jti).padEnd("Bearer ".length + MAX_JWT_BYTES, "A");
    expect(await told({ authorization: largest("live") })).to.deep.equal(PASSES);
    expect(await told({ authorization: largest("gone") })).to.deep.equal(REVOKED);
    expect(await told({ authorization: `${largest("live")}A` })).to.deep.equal(MALFORMED);
  });

  it("finds a credential after any number of other headers", async () => {
    const { told } = await serve({ UNVERIFIED_BEARER: "on", MISSING_JTI: "allow" });
    const many = Object.fromEntries(Array.from({ length: 2500 }, (_, index) => [`a${index}`, ""]));
    expect(await told({ ...many, authorization: "Bearer opaque" })).to.deep.equal(MALFORMED);
  });

  it("is served at one path and below it, and nowhere else", async () => {
    const { port, running } = await serve();
    await revoke(running, "gone");
    const at = (path: string, jti: string) =>
      ask(`http://127.0.0.1:${port}`, { path, headers: { "x-token-id": jti, "x-forwarded-uri": "/livez" } });
    for (const path of [
      ...["/authz", "/authz/", "/authz?page=2", "/authz/?page=2&x=%", "//authz", "/authz/orders/7?page=2"],
      ...["http://shop.example/authz?page=2", "/authz/../livez", "/%61uthz", "/authz/%2e%2e/%ff"],
    ]) {
      expect([path, await at(path, "live"), await at(path, "gone")]).to.deep.equal([path, PASSES, REVOKED]);
    }
    for (const path of ["/", "/authzx", "/AUTHZ", "/livez", "/livez/authz", "/?/authz", "/livez/../authz"]) {
      const { status, body } = await at(path, "live");
      expect([path, status, body]).to.deep.equal([path, 404, "/authz\n"]);
    }
  });

  it("is decided only by the token, regardless of other headers from the proxy", async () => {
    const { running, told } = await serve();
    await revoke(running, "gone");
    for (const headers of [
      { "x-forwarded-uri": "/orders?page=2", "x-forwarded-method": "OPTIONS", "x-original-url": "/authz" },
      {
        "x-original-url": "http://shop.example/",
        "x-rewrite-url": "/livez",
        "x-http-method-override": "GET",
      },
      {
        connection: "upgrade",
        upgrade: "websocket",
        "sec-websocket-key": "AAAA",
        "sec-websocket-version": "13",
      },
      { connection: "upgrade, HTTP2-Settings", upgrade: "h2c", "http2-settings": "AAMAAABkAAQAAP__" },
      { expect: "something else" },
      { origin: "https://shop.example", "access-control-request-method": "PUT" },
    ]) {
      const answers = [
        await told({ ...headers, "x-token-id": "live" }),
        await told({ ...headers, "x-token-id": "gone" }),
        await told(headers),
      ];
      expect([headers, ...answers.map(({ status }) => status)]).to.deep.equal([headers, 204, 401, 401]);
    }
  });

  describe("for a CORS preflight", () => {
    const PREFLIGHT = { origin: "https://shop.example", "access-control-request-method": "PUT" };

    it("is denied without a token by default", async () => {
      const { told } = await serve();
      expect(await told(PREFLIGHT, "OPTIONS")).to.deep.equal(NO_TOKEN);
    });

    it("passes if configured, by the method of the request itself", async () => {
      const { running, told } = await serve({ AUTHZ_PREFLIGHT: "allow" });
      await revoke(running, "gone");
      expect(await told(PREFLIGHT, "OPTIONS")).to.deep.equal(PASSES);
      const forwarded = { ...PREFLIGHT, "x-forwarded-method": "OPTIONS", "x-original-method": "OPTIONS" };
      for (const method of ["GET", "HEAD", "POST"]) {
        expect([method, (await told(forwarded, method)).status]).to.deep.equal([method, 401]);
      }
      expect(await told({}, "OPTIONS")).to.deep.equal(NO_TOKEN);
      expect(await told({ ...PREFLIGHT, cookie: "session=1" }, "OPTIONS")).to.deep.equal(NO_TOKEN);
      expect(await told({ ...PREFLIGHT, authorization: "Basic eDp5" }, "OPTIONS")).to.deep.equal(NO_TOKEN);
      expect(await told({ ...PREFLIGHT, authorization: unsignedBearer("a") }, "OPTIONS")).to.deep.equal(
        NO_JTI,
      );
      expect(await told({ ...PREFLIGHT, "x-token-id": "gone" }, "OPTIONS")).to.deep.equal(REVOKED);
    });

    it("is recognized by the configured method header only", async () => {
      const { told } = await serve({ AUTHZ_PREFLIGHT: "allow", AUTHZ_METHOD_HEADER: "X-Forwarded-Method" });
      const asked = (method: string | string[]) => told({ ...PREFLIGHT, "x-forwarded-method": method });
      expect([
        await asked("OPTIONS"),
        await asked("GET"),
        await asked(["OPTIONS", "GET"]),
        await asked("OPTIONS, GET"),
        await told(PREFLIGHT, "OPTIONS"),
      ]).to.deep.equal([PASSES, NO_TOKEN, NO_TOKEN, NO_TOKEN, NO_TOKEN]);
    });
  });

  it("includes earlier revocations, repeatedly", async () => {
    const { running, told } = await serve();
    for (let round = 0; round < 100; round++) {
      await revoke(running, `round ${round}`);
      expect(await told({ "x-token-id": `round ${round}` })).to.deep.equal(REVOKED);
    }
  });

  it("is limited in its headers, and its body is ignored", async () => {
    const { authz, told } = await serve();
    const padding = "x".repeat(MAX_AUTHZ_HEADER_BYTES);
    expect((await told({ "x-token-id": "live", padding })).status).to.equal(431);
    const headers = { "x-token-id": "live" };
    const small = Buffer.alloc(MAX_AUTHZ_BODY_BYTES);
    expect(await ask(authz, { method: "POST", headers, body: small })).to.deep.equal(PASSES);
    // Answered before its end or closed: an incomplete request never passes.
    const large = Buffer.alloc(64 * MAX_AUTHZ_BODY_BYTES);
    const answer = await ask(authz, { method: "POST", headers, body: large }).catch(() => PASSES);
    expect(answer).to.deep.equal(PASSES);
    expect(await told(headers)).to.deep.equal(PASSES);
  });

  it("is queued behind earlier requests of its connection, and rejected behind more than a few", async () => {
    const { port, running } = await serve();
    await running.indexLoaded();
    const askAhead = async (count: number) => {
      const socket = connect(port, "127.0.0.1");
      let received = "";
      socket.on("error", () => {});
      socket.on("data", (bytes: Buffer) => {
        received += bytes;
      });
      socket.write("GET /authz HTTP/1.1\r\nhost: a\r\nx-token-id: a\r\n\r\n".repeat(count));
      const answers = () => received.split("HTTP/1.1 204").length - 1;
      await until(() => answers() === count || socket.destroyed, { withinMs: 5000, what: "it ends" });
      const seen = [answers(), socket.destroyed];
      socket.destroy();
      return seen;
    };
    expect(await askAhead(MAX_AUTHZ_UNANSWERED)).to.deep.equal([MAX_AUTHZ_UNANSWERED, false]);
    expect((await askAhead(1000))[1]).to.equal(true);
  });

  it("leaves closing a kept-alive connection to the proxy", async () => {
    const { authz } = await serve();
    const { status, headers } = await fetch(authz, { headers: { "x-token-id": "live" } });
    expect([status, headers.get("keep-alive")]).to.deep.equal([204, "timeout=120"]);
  });

  it("is closed if it does not arrive in time", async function () {
    this.timeout(15_000);
    const { port } = await serve();
    const socket = connect(port, "127.0.0.1");
    let text = "";
    socket.setEncoding("utf8").on("data", (chunk: string) => {
      text += chunk;
    });
    socket.write("GET /authz HTTP/1.1\r\nHost: x\r\nX-Token-Id: li");
    await once(socket, "close");
    expect(text).to.match(/^HTTP\/1\.1 408 /);
  });

  it("is counted, and its token is in no log line", async () => {
    const { running, told } = await serve({ UNVERIFIED_BEARER: "on" });
    await told({ "x-token-id": "canary-jti" });
    await told({ authorization: unsignedBearer("canary-jti") });
    await told({ "x-token-id": "canary-jti, canary" });
    await told({});
    expect(running.logText()).not.to.match(/canary|eyJ/);
    const lines = (await (await fetch(`${running.adminUrl}/metrics`)).text()).split("\n");
    expect(
      lines
        .filter((line) => /^tokenblacklist_(decisions_total|authz_seconds_count)/.test(line))
        .filter((line) => !line.endsWith(" 0"))
        .sort(),
    ).to.deep.equal([
      "tokenblacklist_authz_seconds_count 4",
      'tokenblacklist_decisions_total{protocol="http",decision="malformed"} 1',
      'tokenblacklist_decisions_total{protocol="http",decision="no-token"} 1',
      'tokenblacklist_decisions_total{protocol="http",decision="pass"} 2',
    ]);
  });

  it("prevents the start with an explanation if its port is in use", async () => {
    const { port } = await serve();
    const error = await rejection(serve({ AUTHZ_ADDRESS: `127.0.0.1:${port}` }));
    expect(error).to.include({
      name: "StartError",
      message: `cannot listen on AUTHZ_ADDRESS 127.0.0.1:${port}: the port is in use`,
    });
  });

  it("causes a warning at start if other machines can send it", async () => {
    const { running } = await serve({ AUTHZ_ADDRESS: "0.0.0.0:0", INSECURE: "yes" });
    expect(running.logs().filter(({ level }) => level === "warn")).to.deep.equal([
      {
        level: "warn",
        msg: "INSECURE=yes: any peer that can connect to AUTHZ_ADDRESS can check tokens",
      },
    ]);
  });

  async function throughProxy(env: Record<string, string> = {}) {
    const database = await FaultyDatabase.create(await sharedMysql());
    stops.push(() => database.close());
    const served = await serve(env, database.proxiedUrl);
    await served.running.indexLoaded().catch(() => {});
    return { ...served, proxy: database.proxy };
  }

  for (const fault of ["reset", "blackhole"] as const) {
    it(`is answered with 503 while the database is unavailable, unless the token is known to be revoked (${fault})`, async () => {
      const { running, told, proxy } = await throughProxy({ MISSING_JTI: "allow" });
      await revoke(running, "gone");
      const [live, gone] = [{ "x-token-id": "live" }, { "x-token-id": "gone" }];
      expect([await told(gone), await told(live)]).to.deep.equal([REVOKED, PASSES]);
      proxy[fault]();
      expect(await told(live)).to.deep.equal(UNKNOWN);
      // From memory, if there is an index.
      expect(await told(gone)).to.deep.equal(process.env.TEST_INDEX === "off" ? UNKNOWN : REVOKED);
      await proxy.heal();
      await until(async () => (await told(live)).status === 204, {
        withinMs: 5000,
        what: "live tokens pass again",
      });
    });
  }

  it("is answered if it arrived before the drain, refused during it, and not accepted afterwards", async () => {
    const { running, told, proxy, authz } = await throughProxy({ SHUTDOWN_GRACE: "5s" });
    const channel = new RawChannel(running.address);
    stops.push(() => channel.close());
    const watch = watchHealth(channel);
    await watch.reaches("SERVING");
    const live = { "x-token-id": "live" };
    const closed = running.service.close();
    await watch.reaches("NOT_SERVING");
    // The notice period of the health status.
    expect(await told(live)).to.deep.equal(PASSES);
    proxy.hold();
    const early = told(live);
    await until(async () => (await told({})).status === 503, {
      withinMs: 3000,
      what: "new ones are refused",
    });
    await proxy.heal();
    expect(await early).to.deep.equal(PASSES);
    await closed;
    expect(await rejection(ask(authz))).to.include({ code: "ECONNREFUSED" });
    expect(running.logs().filter(({ reason }) => reason === "DRAINING")[0]).to.include({
      level: "warn",
      method: "authz",
      code: "UNAVAILABLE",
    });
  });
});
