import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { BlacklistResult_Outcome as Outcome } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { clientCredentials } from "../../src/client/credentials.ts";
import { createRpcClient, type RpcClient } from "../../src/client/rpc-client.ts";
import type { EpochMs } from "../../src/entry.ts";
import { migrate } from "../../src/start/migrate.ts";
import { parseDatabaseUrl } from "../../src/store/database-url.ts";
import { openStore } from "../../src/store/open-store.ts";
import { systemClock } from "../../src/time/clock.ts";
import { runCli } from "../cli/run-cli.ts";
import { Asker } from "../support/asker.ts";
import { backends, type FreshDatabase } from "../support/backends.ts";
import { outcomeOf, sendCheck } from "../support/envoy-check.ts";
import { ask } from "../support/http-ask.ts";
import { createSigningKey, keySetOf, type SigningKey, signToken } from "../support/issuer.ts";
import { newEntry } from "../support/new-entry.ts";
import { RawChannel } from "../support/raw-channel.ts";
import { rejection } from "../support/rejection.ts";
import { YEAR_2100 } from "../support/revoke.ts";
import { type RunningService, startService } from "../support/service.ts";
import { freshFolder } from "../support/shared.ts";
import { unsignedJwt } from "../support/unsigned-jwt.ts";

const LOGOUT = "http://schemas.openid.net/event/backchannel-logout";
const RAW = unsignedJwt({ jti: "j", note: "c4n4ry" });
const SPELLINGS = [RAW, `Bearer ${RAW}`, `bearer \t${RAW}\n`, unsignedJwt({ note: "c4n4ry".repeat(100) })];
const ITSELF = "must be a token's jti claim, not the token itself";
const OTHER_TYPE = "must be an access, refresh or ID token: the typ in its header is of another kind";
const SECURITY_EVENT =
  "must be an access, refresh or ID token: its events claim makes it a logout token or another security event";
const MALFORMED = "the access token is malformed or not the only credential\n";

const token = (value: string) => ({ token: { case: "jti" as const, value }, expiresAt: YEAR_2100 });

async function refusal(call: Promise<unknown>): Promise<unknown> {
  const { code, reason, violations } = (await rejection(call)) as {
    code: string;
    reason: string;
    violations: { field: string; description: string; reason?: string }[];
  };
  expect([code, reason]).to.deep.equal(["INVALID_ARGUMENT", "INVALID_REQUEST"]);
  return violations.map(({ field, description, reason }) => [
    field,
    description,
    ...(reason ? [reason] : []),
  ]);
}

for (const backend of backends) {
  describe(`a raw token in place of a jti, on ${backend.name}`, () => {
    let database: FreshDatabase;
    let running: RunningService | undefined;
    let channel: RawChannel | undefined;

    beforeEach(async () => {
      database = await backend.create();
    });

    afterEach(async () => {
      channel?.close();
      await running?.stop();
      [channel, running] = [undefined, undefined];
      await database.dispose();
    });

    async function serve(env: Record<string, string> = {}): Promise<RunningService> {
      running = await startService({ url: database.url, env: { LOG_LEVEL: "trace", ...env } });
      channel = new RawChannel(running.address);
      return running;
    }

    /** Stores entries as older versions did, which accepted any text as a jti. */
    async function storeAsBefore(jtis: string[], expiresAt = (Number(YEAR_2100.seconds) * 1000) as EpochMs) {
      const address = parseDatabaseUrl(database.url);
      if (address.kind === "mysql") await migrate("up", address, () => {});
      const store = openStore(address, { clock: systemClock, leewayMs: 0 });
      await store.open();
      await store.write(
        jtis.map((jti) => newEntry(jti, { expiresAt })),
        { now: systemClock.now(), leewayMs: 0 },
      );
      await store.close();
    }

    it("is INVALID_ARGUMENT in every call that takes jtis, and is in no log line", async () => {
      const { client, logText, logs } = await serve();
      const asker = new Asker(channel as RawChannel);
      for (const raw of SPELLINGS) {
        const inJtis = [["jtis[1]", ITSELF, "RAW_TOKEN"]];
        expect([
          await refusal(client.blacklist({ tokens: [token("a"), token(raw)] })),
          await refusal(client.isBlacklisted({ jtis: ["a", raw] })),
          ((await asker.ask({ jtis: ["a", raw] })) as { violations: unknown }).violations,
          ...(Buffer.byteLength(raw) <= 255 ? [await refusal(client.list({ jtis: ["a", raw] }))] : [inJtis]),
        ]).to.deep.equal([
          [["tokens[1].jti", `${ITSELF}, which goes into jwt`, "RAW_TOKEN"]],
          inJtis,
          inJtis,
          inJtis,
        ]);
      }
      expect((await client.list({})).tokens).to.deep.equal([]);
      expect(logs().filter(({ msg }) => msg === "audit")).to.have.length(SPELLINGS.length);
      for (const hidden of ["c4n4ry", ...SPELLINGS.flatMap((raw) => raw.split("."))]) {
        expect(logText()).not.to.include(hidden);
      }
      asker.stream.cancel();
    });

    it("does not pass at proxies, even if an entry for it exists", async () => {
      await storeAsBefore([RAW]);
      const { service } = await serve({
        AUTHZ_ADDRESS: "127.0.0.1:0",
        AUTHZ_JTI_HEADER: "x-token-id",
        UNVERIFIED_BEARER: "on",
        MISSING_JTI: "allow",
        EXT_AUTHZ: "on",
      });
      const authz = `http://127.0.0.1:${service.authzAddress?.port}/authz`;
      const header = { alg: "ES256", typ: "logout+jwt" };
      const logoutToken = unsignedJwt({ jti: "j" }, { typ: "logout+jwt" });
      for (const headers of [
        { "x-token-id": RAW },
        { "x-token-id": `Bearer ${RAW}` },
        { authorization: `Bearer ${unsignedJwt({ jti: RAW })}` },
        { authorization: `Bearer ${logoutToken}` },
        { authorization: `Bearer ${unsignedJwt({ jti: "j", events: { [LOGOUT]: {} } })}` },
      ]) {
        const { status, body } = await ask(authz, { headers });
        expect([headers, status, body]).to.deep.equal([headers, 401, MALFORMED]);
      }
      for (const metadata of [
        { payload: { jti: RAW } },
        { jti: RAW },
        { payload: { jti: "j" }, header },
        { payload: { jti: "j", events: { [LOGOUT]: {} } } },
        { jti: "j", events: { [LOGOUT]: {} } },
      ]) {
        const outcome = outcomeOf(await sendCheck(channel as RawChannel, { metadata }));
        expect(outcome).to.include({ rpc: 16, status: 401, body: MALFORMED });
      }
      const passes = {
        metadata: { payload: { jti: "j", typ: "Bearer" }, header: { ...header, typ: "at+jwt" } },
      };
      expect(outcomeOf(await sendCheck(channel as RawChannel, passes))).to.deep.equal({
        rpc: 0,
        passes: "okResponse",
      });
    });

    it("stored by an older version can be listed, exported, imported and pruned, and is never checked", async () => {
      const other = unsignedJwt({ jti: "other" });
      await storeAsBefore(["a", RAW, other]);
      const first = await serve();
      const listed = async (jtis: string[]) =>
        (await first.client.list({ jtis })).tokens.map(({ jti }) => jti).sort();
      expect([
        await listed([]),
        await listed([RAW, "a", "none"]),
        await refusal(first.client.list({ jtis: [RAW, unsignedJwt({ jti: "never stored" })] })),
        await refusal(first.client.isBlacklisted({ jtis: [RAW] })),
      ]).to.deep.equal([
        ["a", RAW, other].sort(),
        ["a", RAW].sort(),
        [["jtis[1]", ITSELF, "RAW_TOKEN"]],
        [["jtis[0]", ITSELF, "RAW_TOKEN"]],
      ]);

      const list = (jti: string) =>
        runCli(["list", "--jti", jti, "--output", "ndjson", "--address", first.address]);
      const found = await list(RAW);
      expect([found.exitCode, JSON.parse(found.stdout).jti, found.stderr]).to.deep.equal([0, RAW, ""]);
      for (const unknown of [unsignedJwt({ jti: "never stored" }), `Bearer ${RAW}`]) {
        const { exitCode, stdout, stderr } = await list(unknown);
        expect([exitCode, stdout, stderr]).to.deep.equal([
          2,
          "",
          `error: jtis[0]: ${ITSELF}: to check a token by its jti, use check --jwt\n`,
        ]);
      }

      const folder = await freshFolder();
      const file = join(folder, "blacklist.ndjson");
      const exported = await runCli(["export", "--output", file, "--address", first.address]);
      const second = await startService({
        url: `sqlite:${join(folder, "x.db")}`,
        env: { LOG_LEVEL: "trace" },
      });
      try {
        const argv = ["import", file, "--output", "ndjson", "--address", second.address];
        const { exitCode, stdout, stderr } = await runCli(argv);
        const { created, refused } = JSON.parse(stdout) as { created: number; refused: number };
        const lines = [...stderr.matchAll(/^warning: line (\d): "jti" is a raw token, .*blacklist --jwt$/gm)];
        expect([exported.exitCode, exitCode, created, refused]).to.deep.equal([0, 0, 3, 0]);
        expect([lines.length, stderr.trim().split("\n").length]).to.deep.equal([2, 2]);
        expect(stderr).not.to.include("eyJ");
        const { tokens } = await second.client.list({});
        expect(tokens.map(({ jti }) => jti).sort()).to.deep.equal(["a", RAW, other].sort());
        expect(second.logText()).not.to.include(RAW);
        const audited = second.logs().find(({ msg }) => msg === "audit") as
          | { tokens: { jti: string }[] }
          | undefined;
        expect(audited?.tokens.map(({ jti }) => jti).sort()).to.deep.equal([
          "(a raw token)",
          "(a raw token)",
          "a",
        ]);
      } finally {
        await second.stop();
      }
    });

    it("stored and expired is pruned like any other entry", async () => {
      await storeAsBefore([RAW, unsignedJwt({ jti: "other" })], Date.UTC(2020) as EpochMs);
      const { client } = await serve();
      expect([
        (await client.list({ includeExpired: true, jtis: [RAW] })).tokens.length,
        (await client.prune({})).prunedCount,
        (await client.list({ includeExpired: true })).tokens.length,
      ]).to.deep.equal([1, 2, 0]);
    });
  });
}

describe("a presented raw token", () => {
  const ISSUER = "https://issuer.test";
  const CALLER = { iss: "https://id.test", aud: "token-blacklist", sub: "alice", scope: "check revoke list" };
  const exp = YEAR_2100.seconds;
  let key: SigningKey;
  let running: RunningService;
  const clients: RpcClient[] = [];

  before(async () => {
    key = await createSigningKey("k1");
    const folder = await freshFolder();
    const keys = join(folder, "keys.json");
    await writeFile(keys, keySetOf(key));
    running = await startService({
      url: `sqlite:${join(folder, "x.db")}`,
      env: {
        TOKEN_ISSUERS: `${ISSUER}=file:${keys}`,
        AUTH_JWKS_FILE: keys,
        AUTH_ISSUER: CALLER.iss,
        AUTH_AUDIENCE: CALLER.aud,
      },
    });
  });

  after(async () => {
    for (const client of clients) client.close();
    await running?.stop();
  });

  const signed = (claims: object, header: object = {}) =>
    signToken(key, { exp: Number(exp), ...claims }, { ...header });

  async function clientWith(claims: object, header?: object): Promise<RpcClient> {
    const credentials = clientCredentials({ token: await signed({ ...CALLER, ...claims }, header) });
    const client = createRpcClient({ address: running.address, credentials });
    clients.push(client);
    return client;
  }

  it("of another kind than access, refresh or ID token is refused for revocation, and nothing is stored", async () => {
    const client = await clientWith({});
    const show = async (header: object, claims: object = {}) => {
      const value = await signed({ iss: ISSUER, jti: "shown", ...claims }, header);
      return client.blacklist({ tokens: [{ token: { case: "jwt", value } }] });
    };
    for (const typ of ["logout+jwt", "application/LOGOUT+JWT", "secevent+jwt", "dpop+jwt", "kb+jwt"]) {
      expect(await refusal(show({ typ }))).to.deep.equal([["tokens[0].jwt", OTHER_TYPE]]);
    }
    for (const header of [{}, { typ: "JWT" }]) {
      const shown = show(header, { events: { [LOGOUT]: {} } });
      expect(await refusal(shown)).to.deep.equal([["tokens[0].jwt", SECURITY_EVENT]]);
    }
    expect(await refusal(show({}, { jti: RAW }))).to.deep.equal([
      ["tokens[0].jwt", `has a malformed jti: it ${ITSELF}`],
    ]);
    expect((await client.list({})).tokens).to.deep.equal([]);
    const outcomes = [];
    for (const typ of [undefined, "JWT", "at+jwt", "application/at+jwt", "id+jwt"]) {
      outcomes.push((await show({ typ })).results[0]?.outcome);
    }
    expect(outcomes).to.deep.equal([Outcome.CREATED, ...Array(4).fill(Outcome.ALREADY_BLACKLISTED)]);
  });

  it("of another kind, or with a raw token as its jti, is refused as a credential", async () => {
    const codes = [];
    for (const [claims, header] of [
      [{}, { typ: "logout+jwt" }],
      [{}, { typ: "application/dpop+jwt" }],
      [{ events: { [LOGOUT]: {} } }, { typ: "JWT" }],
      [{ jti: RAW }, {}],
      [{}, { typ: "at+jwt" }],
    ]) {
      const client = await clientWith(claims as object, header);
      codes.push(
        await client.isBlacklisted({ jtis: ["never"] }).then(
          () => "OK",
          ({ code }) => code,
        ),
      );
    }
    expect(codes).to.deep.equal([...Array(4).fill("UNAUTHENTICATED"), "OK"]);
  });
});
