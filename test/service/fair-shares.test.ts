import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { status } from "@grpc/grpc-js";
import { expect } from "chai";
import { QUOTA_RECOUNT_MS } from "../../src/blacklist/quota.ts";
import { clientCredentials } from "../../src/client/credentials.ts";
import { createRpcClient } from "../../src/client/rpc-client.ts";
import { DEFAULT_STREAMS_PER_CALLER } from "../../src/config/security.ts";
import { rawTokens } from "../attacks/raw-tokens.ts";
import { watchStreams } from "../attacks/watch-streams.ts";
import { framed, Http2Connection } from "../support/http2-call.ts";
import { createSigningKey, keySetOf, type SigningKey, signToken } from "../support/issuer.ts";
import { livezDuring } from "../support/livez.ts";
import { methodPath } from "../support/raw-channel.ts";
import { scrape } from "../support/scrape.ts";
import { type ServiceProcess, serveProcess } from "../support/service-process.ts";
import { freshFolder } from "../support/shared.ts";
import { until } from "../support/until.ts";

const ISSUER = "https://id.example";
const EXP = 4_102_444_800;

describe("a caller that uses all capacity", () => {
  let key: SigningKey;
  let service: ServiceProcess | undefined;

  before(async () => {
    key = await createSigningKey("k");
  });

  afterEach(async () => {
    await service?.kill();
    service = undefined;
  });

  async function serve(env: Record<string, string> = {}): Promise<ServiceProcess> {
    const folder = await freshFolder();
    const keys = join(folder, "keys.json");
    await writeFile(keys, keySetOf(key));
    service = await serveProcess({
      DATABASE_URL: `sqlite:${join(folder, "blacklist.sqlite")}`,
      AUTH_JWKS_FILE: keys,
      AUTH_ISSUER: ISSUER,
      AUTH_AUDIENCE: "token-blacklist",
      TOKEN_ISSUERS: `${ISSUER}=file:${keys}`,
      ...env,
    });
    return service;
  }

  const credential = async (sub: string) =>
    `Bearer ${await signToken(key, { iss: ISSUER, aud: "token-blacklist", sub, scope: "check revoke list", exp: EXP })}`;
  const connect = async (address: string, sub: string) =>
    createRpcClient({
      address,
      credentials: clientCredentials({ token: (await credential(sub)).slice("Bearer ".length) }),
    });
  const rawToken = () => signToken(key, { iss: ISSUER, jti: "shown", exp: EXP });

  describe("with raw tokens", () => {
    for (const [who, env, tokens, expected] of [
      ["within the quota", {}, 100, { OK: 40 }],
      ["past the quota", { QUOTA_ROWS_PER_SECOND: "1" }, 100, { OK: 10, RESOURCE_EXHAUSTED: 30 }],
      ["with more than a request may hold", {}, 1000, { INVALID_ARGUMENT: 40 }],
    ] as const) {
      it(`does not delay the probes ${who}`, async () => {
        const { address, adminAddress } = await serve(env);
        const credentials = { authorization: await credential("greedy"), jwt: await rawToken() };
        let statuses = {};
        const livez = await livezDuring(`http://${adminAddress}`, async () => {
          statuses = await rawTokens(address, credentials, { requests: 40, tokens });
        });
        expect(statuses).to.deep.equal(expected);
        expect(livez.p99).to.be.below(250);
        expect(livez.worst).to.be.below(1000);
      });
    }
  });

  it("gets three quarters of the index by default, and the metric shows its share", async () => {
    const { address, adminAddress } = await serve({ INDEX_MAX_ENTRIES: "40" });
    const client = await connect(address, "greedy");
    const used = async () =>
      (await scrape(`http://${adminAddress}`))
        .get("tokenblacklist_quota_used_ratio")
        ?.series.map(({ labels, value }) => [labels.quota, value]);
    const revoke = (...jtis: string[]) =>
      client.blacklist({
        tokens: jtis.map((value) => ({
          token: { case: "jti" as const, value },
          expiresAt: { seconds: BigInt(EXP), nanos: 0 },
        })),
      });
    try {
      await revoke(...Array.from({ length: 30 }, (_, index) => `t${index}`));
      await until(async () => (await used())?.join() === "rows,1", { withinMs: 5000, what: "all is used" });
      let refused: { reason?: string; retryAfterMs?: number } | undefined;
      await until(
        async () => {
          refused = await revoke("t1").then(
            () => undefined,
            (error: object) => error,
          );
          return refused !== undefined;
        },
        { withinMs: 5000, what: "the caller's entries are counted" },
      );
      expect([refused?.reason, refused?.retryAfterMs]).to.deep.equal(["QUOTA_EXCEEDED", QUOTA_RECOUNT_MS]);
    } finally {
      client.close();
    }
  });

  it("does not delay the lists of others", async () => {
    const { address, process, kill } = await serve();
    const [greedy, other] = [await connect(address, "greedy"), await connect(address, "other")];
    try {
      await greedy.blacklist({
        tokens: Array.from({ length: 1000 }, (_, index) => ({
          token: { case: "jti" as const, value: `t${index}` },
          expiresAt: { seconds: BigInt(EXP), nanos: 0 },
        })),
      });
      // Opens its connection.
      await other.list({ pageSize: 1 });
      const pages = Array.from({ length: 100 }, () => greedy.list({ pageSize: 1000 }));
      await other.list({ pageSize: 1 });
      await Promise.all(pages);
      await kill();
      const callers = (await process.ended).stdout
        .split("\n")
        .filter((line) => line.includes('"method":"List"'))
        .map((line): unknown => JSON.parse(line).caller);
      expect(callers).to.have.length(102);
      expect(callers.lastIndexOf("other")).to.be.within(1, 60);
    } finally {
      greedy.close();
      other.close();
    }
  });

  it("is not mistaken for another caller on the same connection, as behind a proxy", async () => {
    const { address } = await serve();
    const [greedy, other] = [await credential("greedy"), await credential("other")];
    const connections = await Promise.all(Array.from({ length: 21 }, () => Http2Connection.open(address)));
    const [proxy, ...rest] = connections as [Http2Connection, ...Http2Connection[]];
    const check = (authorization: string) =>
      proxy.send(methodPath("IsBlacklisted"), framed(Buffer.of(10, 1, 97)), { authorization });
    const leaveOpen = ({ session }: Http2Connection) =>
      session
        .request({
          ":method": "POST",
          ":path": methodPath("Blacklist"),
          "content-type": "application/grpc",
          te: "trailers",
          authorization: greedy,
        })
        .on("error", () => {});
    try {
      expect((await check(greedy)).code).to.equal("OK");
      // They take all the room that one caller may have.
      for (const connection of rest) {
        await connection.send(methodPath("IsBlacklisted"), framed(Buffer.of(10, 1, 97)), {
          authorization: greedy,
        });
        for (let calls = 0; calls < 90; calls++) leaveOpen(connection);
      }
      await until(
        async () => {
          for (let calls = 0; calls < 10; calls++) leaveOpen(proxy);
          return (await check(greedy)).code === undefined;
        },
        { withinMs: 8000, what: "the greedy caller's checks are refused" },
      );
      expect((await check(other)).code).to.equal("OK");
    } finally {
      for (const connection of connections) await connection.close();
    }
  });

  it("leaves places for the Watch streams of others", async function () {
    this.timeout(60_000);
    const { address } = await serve();
    const most = DEFAULT_STREAMS_PER_CALLER;
    const greedy = await watchStreams(address, await credential("greedy"), { count: most + 100 });
    try {
      const refused = String(status.RESOURCE_EXHAUSTED);
      expect([greedy.open, greedy.ended]).to.deep.equal([most, { [refused]: 100 }]);
      const other = await watchStreams(address, await credential("other"), { count: 10 });
      expect([other.open, other.ended, greedy.open]).to.deep.equal([10, {}, most]);
      await other.release();
    } finally {
      await greedy.release();
    }
  });
});
