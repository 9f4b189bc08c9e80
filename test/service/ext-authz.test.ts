import { execFile } from "node:child_process";
import { createRequire } from "node:module";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect } from "chai";
import { BlacklistRequestSchema } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { TokenCallers } from "../support/callers.ts";
import { CHECK_PATH, checkRequest, type Found, outcomeOf, sendCheck } from "../support/envoy-check.ts";
import { FaultyDatabase } from "../support/faulty-database.ts";
import { checkHealth, listHealth, watchHealth } from "../support/health-client.ts";
import { bytesOf, methodPath, RawChannel } from "../support/raw-channel.ts";
import { revoke, YEAR_2100 } from "../support/revoke.ts";
import { startService } from "../support/service.ts";
import { freshFolder, sharedMysql } from "../support/shared.ts";
import { detailsOf } from "../support/status-details.ts";
import { unsignedBearer } from "../support/unsigned-jwt.ts";
import { until } from "../support/until.ts";

const COMMON = { "cache-control": "no-store", "content-type": "text/plain; charset=utf-8" };
const PASSES = { rpc: 0, passes: "okResponse" };
const REVOKED = invalidToken("the access token is revoked");
const MALFORMED = invalidToken("the access token is malformed or not the only credential");
const NO_JTI = invalidToken("the access token has no jti");
const NO_TOKEN = {
  rpc: 16,
  status: 401,
  headers: { "www-authenticate": "Bearer", ...COMMON },
  body: "an access token is required\n",
};
const UNKNOWN = {
  rpc: 14,
  status: 503,
  headers: { "retry-after": "1", ...COMMON },
  body: "it is currently unknown whether the access token is revoked\n",
};

function invalidToken(description: string) {
  const challenge = `Bearer error="invalid_token", error_description="${description}"`;
  return {
    rpc: 16,
    status: 401,
    headers: { "www-authenticate": challenge, ...COMMON },
    body: `${description}\n`,
  };
}

const payload = (jti: unknown) =>
  ({ iss: "https://id.test", sub: "alice", exp: 1_900_000_000, jti }) as never;
const verified = (jti: unknown): Found => ({ metadata: { payload: payload(jti) } });
const bearer = (jti: unknown): Found => ({
  headers: { authorization: unsignedBearer(jti) },
});

describe("ext_authz", () => {
  const stops: (() => unknown)[] = [];
  afterEach(async () => {
    for (const stop of stops.splice(0).reverse()) await stop();
  });

  async function serve(env: Record<string, string> = {}, url?: string) {
    const database = url ?? `sqlite:${join(await freshFolder(), "x.db")}`;
    const running = await startService({ url: database, env: { EXT_AUTHZ: "on", ...env } });
    const channel = new RawChannel(running.address);
    stops.push(
      () => running.stop(),
      () => channel.close(),
    );
    return { running, channel, told: async (found: Found) => outcomeOf(await sendCheck(channel, found)) };
  }

  it("is not implemented by default", async () => {
    const { channel } = await serve({ EXT_AUTHZ: "off" });
    expect((await sendCheck(channel, verified("a"))).code).to.equal("UNIMPLEMENTED");
  });

  it("is decided by the jti that jwt_authn has verified, anywhere in its metadata", async () => {
    const { running, told } = await serve();
    const shapes: Record<string, (jti: string) => Found> = {
      "under payload_in_metadata": verified,
      "under a name that is jti": (jti) => ({ metadata: { jti: payload(jti) } }),
      "beside the token's header": (jti) => ({
        metadata: { payload: payload(jti), header: { alg: "ES256", kid: "k1" } },
      }),
      "by itself": (jti) => ({ metadata: { jti } }),
      "of two providers alike": (jti) => ({ metadata: { a: payload(jti), b: payload(jti) } }),
      "beside a bearer token that is not read": (jti) => ({ ...verified(jti), ...bearer("other") }),
    };
    for (const [name, shape] of Object.entries(shapes)) {
      const jti = `${name} "é"`;
      expect([name, await told(shape(jti))]).to.deep.equal([name, PASSES]);
      await revoke(running, jti);
      expect([name, await told(shape(jti))]).to.deep.equal([name, REVOKED]);
    }
  });

  const UNNAMED: Record<string, [found: Found, expected: unknown]> = {
    "no metadata": [{}, NO_TOKEN],
    "no metadata, and a bearer token": [bearer("a"), NO_JTI],
    "a payload without a jti": [{ metadata: { payload: { sub: "alice" } } }, NO_JTI],
    "a jti that is a number": [verified(7), MALFORMED],
    "a jti that is null": [verified(null), MALFORMED],
    "a jti that is a list": [verified(["a"]), MALFORMED],
    "an empty jti": [verified(""), MALFORMED],
    "a jti of 256 bytes": [verified("é".repeat(128)), MALFORMED],
    "two payloads that contradict each other": [
      { metadata: { a: payload("a"), b: payload("b") } },
      MALFORMED,
    ],
    "a jti beside a payload that contradicts it": [{ metadata: { a: payload("a"), jti: "b" } }, MALFORMED],
    "two bearer tokens beside a payload": [
      { ...verified("a"), headers: { authorization: "Bearer a.b.c,Bearer d.e.f" } },
      MALFORMED,
    ],
    "a payload named __proto__": [{ metadata: JSON.parse('{"payload":{"__proto__":{"jti":"a"}}}') }, NO_JTI],
  };
  it("is answered with 401 without a single identifiable token", async () => {
    const { told } = await serve();
    for (const [name, [found, expected]] of Object.entries(UNNAMED)) {
      expect([name, await told(found)]).to.deep.equal([name, expected]);
    }
  });

  it("passes without a token if configured, but not with an invalid one", async () => {
    const { told } = await serve({ MISSING_JTI: "allow" });
    for (const [name, [found, expected]] of Object.entries(UNNAMED)) {
      expect([name, await told(found)]).to.deep.equal([name, expected === MALFORMED ? MALFORMED : PASSES]);
    }
  });

  it("is decided by the bearer token itself if configured, in each way that Envoy sends headers", async () => {
    const { running, told } = await serve({ UNVERIFIED_BEARER: "on" });
    const raw = (...values: string[]): Found => ({
      rawHeaders: values.map((value) => ["authorization", value] as const),
    });
    await revoke(running, "gone");
    const cases: [Found, unknown][] = [
      [bearer("live"), PASSES],
      [bearer("gone"), REVOKED],
      [raw(unsignedBearer("live")), PASSES],
      [raw(unsignedBearer("gone")), REVOKED],
      [raw(unsignedBearer("live"), unsignedBearer("gone")), MALFORMED],
      [{ headers: { authorization: `${unsignedBearer("live")},${unsignedBearer("gone")}` } }, MALFORMED],
      [{ headers: { authorization: "Bearer opaque" } }, MALFORMED],
      [{ headers: { authorization: "Basic dXNlcjpwYXNz" } }, NO_TOKEN],
      [{ ...verified("live"), ...bearer("live") }, PASSES],
      [{ ...verified("live"), ...bearer("gone") }, MALFORMED],
    ];
    for (const [index, [found, expected]] of cases.entries()) {
      expect([index, await told(found)]).to.deep.equal([index, expected]);
    }
  });

  it("passes a CORS preflight if configured, and denies it otherwise", async () => {
    const { told } = await serve({ AUTHZ_PREFLIGHT: "allow" });
    const sent = { origin: "https://shop.example", "access-control-request-method": "PUT" };
    const raw = [["Origin", sent.origin] as const, ["Access-Control-Request-Method", "PUT"] as const];
    const cases: [Found, unknown][] = [
      [{ method: "OPTIONS", headers: sent }, PASSES],
      [{ method: "OPTIONS", rawHeaders: raw }, PASSES],
      [{ method: "GET", headers: { ...sent, "x-forwarded-method": "OPTIONS" } }, NO_TOKEN],
      [{ method: "OPTIONS", headers: { origin: sent.origin } }, NO_TOKEN],
      [{ method: "OPTIONS", headers: { ...sent, cookie: "session=1" } }, NO_TOKEN],
      [{ method: "OPTIONS", headers: { ...sent, authorization: "Basic eDp5" } }, NO_TOKEN],
      [{ method: "OPTIONS", rawHeaders: [...raw, ["Authorization", "Basic eDp5"]] }, NO_TOKEN],
      [{ ...verified(7), method: "OPTIONS", headers: sent }, MALFORMED],
    ];
    for (const [index, [found, expected]] of cases.entries()) {
      expect([index, await told(found)]).to.deep.equal([index, expected]);
    }
    const denying = await serve();
    expect(await denying.told({ method: "OPTIONS", headers: sent })).to.deep.equal(NO_TOKEN);
  });

  it("includes earlier revocations, repeatedly", async () => {
    const { running, told } = await serve();
    for (let round = 0; round < 100; round++) {
      await revoke(running, `round ${round}`);
      expect(await told(verified(`round ${round}`))).to.deep.equal(REVOKED);
    }
  });

  it("is INVALID_ARGUMENT if it cannot be decoded, and denied if empty", async () => {
    const { channel } = await serve();
    const garbage = await channel.call(CHECK_PATH, Buffer.from([0x0a, 0x05, 0x61]));
    expect([garbage.code, detailsOf(garbage)?.reason]).to.deep.equal(["INVALID_ARGUMENT", "INVALID_REQUEST"]);
    expect(outcomeOf(await channel.call(CHECK_PATH, new Uint8Array()))).to.deep.equal(NO_TOKEN);
    const field = Buffer.from(checkRequest(verified("a")));
    // A repeated message is merged: its maps keep the last value of each name.
    expect(outcomeOf(await channel.call(CHECK_PATH, Buffer.concat([field, field])))).to.deep.equal(PASSES);
  });

  it("is INVALID_ARGUMENT with too many fields, without decoding them", async () => {
    const { told } = await serve();
    const groups = (count: number) => ({ metadata: { payload: { jti: "a", groups: Array(count).fill(1) } } });
    expect(await told(groups(4500))).to.deep.equal(PASSES);
    expect(await told(groups(20_000))).to.equal("INVALID_ARGUMENT");
  });

  it("is separate in health, reflection and metrics, and its tokens are in no log line", async () => {
    const { running, channel, told } = await serve({ UNVERIFIED_BEARER: "on" });
    const name = "envoy.service.auth.v3.Authorization";
    const serving = { status: "SERVING" };
    expect(await checkHealth(channel, name)).to.equal("SERVING");
    expect(await listHealth(channel)).to.deep.equal({
      ...{ "": serving, "tokenblacklist.v1.TokenBlacklist": serving, [name]: serving },
      ...{ "tokenblacklist.v1.TokenBlacklist/positives": serving, [`${name}/positives`]: serving },
    });
    const { stdout } = await promisify(execFile)(process.execPath, [
      createRequire(import.meta.url).resolve("@bufbuild/buf/bin/buf"),
      ...["curl", "--protocol", "grpc", "--http2-prior-knowledge", "--reflect"],
      ...["-d", '{"attributes":{}}', `http://${running.address}/${name}/Check`],
    ]);
    expect(JSON.parse(stdout)).to.have.nested.property("deniedResponse.status.code", "Unauthorized");
    const { headers } = bearer("canary-jti");
    await told({ headers: headers ?? {} });
    await told(verified("canary-jti"));
    await told(verified("canary-jti\0"));
    expect(running.logText()).not.to.match(/canary|eyJ/);
    const lines = (await (await fetch(`${running.adminUrl}/metrics`)).text()).split("\n");
    const isRuling = (line: string) =>
      line.startsWith("tokenblacklist_decisions_total") && !line.endsWith(" 0");
    expect(lines.filter(isRuling)).to.deep.equal([
      'tokenblacklist_decisions_total{protocol="ext_authz",decision="pass"} 2',
      'tokenblacklist_decisions_total{protocol="ext_authz",decision="no-token"} 1',
      'tokenblacklist_decisions_total{protocol="ext_authz",decision="malformed"} 1',
    ]);
    const checks = { grpc_type: "unary", grpc_service: name, grpc_method: "Check", grpc_code: "OK" };
    const labels = Object.entries(checks).map(([label, value]) => `${label}="${value}"`);
    expect(lines).to.include(`grpc_server_handled_total{${labels.join()}} 4`);
    const reflected = (line: string) => /^grpc_server_handled_total.*ServerReflectionInfo/.test(line);
    expect(lines.filter((line) => reflected(line) && !line.endsWith(" 0"))).to.have.length(1);
  });

  it("is UNAVAILABLE while draining, which passes nothing", async () => {
    const { running, channel } = await serve({ SHUTDOWN_GRACE: "1s" });
    const watch = watchHealth(channel, "envoy.service.auth.v3.Authorization");
    await watch.reaches("SERVING");
    const closed = running.service.close();
    await watch.reaches("NOT_SERVING");
    const codes: string[] = [];
    await until(
      async () => {
        const { code } = await sendCheck(channel, verified("a"));
        codes.push(code);
        return code !== "OK";
      },
      { withinMs: 3000, what: "calls are refused" },
    );
    expect(codes.at(-1)).to.equal("UNAVAILABLE");
    await closed;
  });

  describe("while the database is unavailable", () => {
    async function throughProxy(env: Record<string, string> = {}) {
      const database = await FaultyDatabase.create(await sharedMysql());
      stops.push(() => database.close());
      const served = await serve(env, database.proxiedUrl);
      await served.running.indexLoaded().catch(() => {});
      return { ...served, proxy: database.proxy };
    }

    for (const fault of ["reset", "blackhole"] as const) {
      it(`is answered with 503 unless the token is known to be revoked (${fault})`, async () => {
        const { running, told, proxy } = await throughProxy({ MISSING_JTI: "allow" });
        await revoke(running, "gone");
        expect([await told(verified("gone")), await told(verified("live"))]).to.deep.equal([REVOKED, PASSES]);
        proxy[fault]();
        expect(await told(verified("live"))).to.deep.equal(UNKNOWN);
        // From memory, if there is an index.
        expect(await told(verified("gone"))).to.deep.equal(
          process.env.TEST_INDEX === "off" ? UNKNOWN : REVOKED,
        );
        const line = running.logs().find(({ msg }) => String(msg).startsWith("no decision about a token"));
        expect(line).to.deep.include({ level: "warn", reason: "STORE_UNAVAILABLE" });
        await proxy.heal();
        await until(async () => ((await told(verified("live"))) as typeof PASSES).rpc === 0, {
          withinMs: 5000,
          what: "live tokens pass again",
        });
      });
    }

    it("is answered from earlier reads within the allowed staleness, and not for longer", async () => {
      const { told, proxy } = await throughProxy({ AUTHZ_MAX_STALENESS: "3s", INDEX: "on" });
      expect(await told(verified("live"))).to.deep.equal(PASSES);
      proxy.reset();
      expect(await told(verified("live"))).to.deep.equal(PASSES);
      await until(async () => ((await told(verified("live"))) as typeof PASSES).rpc === 14, {
        withinMs: 8000,
        what: "what was read is too old",
      });
    });
  });

  describe("with authentication", () => {
    let callers: TokenCallers;
    before(async () => {
      callers = await TokenCallers.create();
    });

    /** The `authorization` metadata of a proxy. */
    const credential = (scope: string, jti?: string) =>
      callers.bearer({ sub: "envoy", scope, ...(jti && { jti }) });

    async function secured(env: Record<string, string> = {}) {
      const { running, channel } = await serve({ ...callers.env, ...env });
      const asking = async (found: Found, authorization: readonly string[] = []) =>
        outcomeOf(await sendCheck(channel, found, { authorization }));
      const revoked = async (jti: string) => {
        const tokens = [{ token: { case: "jti" as const, value: jti }, expiresAt: YEAR_2100 }];
        const bytes = bytesOf(BlacklistRequestSchema, { tokens });
        const authorization = await credential("revoke");
        return (await channel.call(methodPath("Blacklist"), bytes, { authorization })).code;
      };
      return { running, asking, revoked };
    }

    it("needs only the role check, for any request", async () => {
      const { asking, revoked } = await secured({ UNVERIFIED_BEARER: "on" });
      expect(await revoked("gone")).to.equal("OK");
      const [authorization = ""] = await credential("check", "user");
      const user = { headers: { authorization } };
      expect([
        await asking(verified("live")),
        await asking(user),
        await asking(verified("live"), await credential("revoke list prune")),
        await asking(verified("live"), ["Bearer garbage"]),
        await asking(verified("live"), await credential("check")),
        await asking(verified("gone"), await credential("check")),
        await asking(user, await credential("check")),
      ]).to.deep.equal([
        ...["UNAUTHENTICATED", "UNAUTHENTICATED", "PERMISSION_DENIED", "UNAUTHENTICATED"],
        ...[PASSES, REVOKED, PASSES],
      ]);
    });

    it("is refused once the proxy's own token is revoked, even for requests without a token", async () => {
      const { asking, revoked } = await secured({ MISSING_JTI: "allow" });
      const own = await credential("check", "own");
      expect([await asking({}, own), await asking(verified("live"), own)]).to.deep.equal([PASSES, PASSES]);
      expect(await revoked("own")).to.equal("OK");
      expect([
        await asking({}, own),
        await asking(verified("live"), own),
        await asking(verified(7), own),
      ]).to.deep.equal(["UNAUTHENTICATED", "UNAUTHENTICATED", "UNAUTHENTICATED"]);
    });
  });
});
