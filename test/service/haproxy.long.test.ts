import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import type { BlacklistClient } from "../../src/client/blacklist-client.ts";
import { connect } from "../../src/client/connect.ts";
import type { ConnectOptions } from "../../src/client/connect-options.ts";
import { clientCredentials } from "../../src/client/credentials.ts";
import { createRpcClient } from "../../src/client/rpc-client.ts";
import { migrate } from "../../src/start/migrate.ts";
import { parseDatabaseUrl } from "../../src/store/database-url.ts";
import { createAuthority } from "../support/certificates.ts";
import { freePort } from "../support/free-port.ts";
import { type Haproxy, startHaproxy } from "../support/haproxy.ts";
import { createSigningKey, keySetOf, signToken } from "../support/issuer.ts";
import { CommandProcess } from "../support/service-process.ts";
import { freshDatabase, freshFolder } from "../support/shared.ts";
import { until } from "../support/until.ts";

const YEAR_2100 = new Date(4_102_444_800_000);
const CALLS =
  /^(?:tokenblacklist_call_duration_seconds_count|grpc_server_handled_total)\{[^}]*"IsBlacklisted"[^}]*"OK"\} (\d+)$/gm;

interface Replica {
  readonly port: number;
  readonly adminPort: number;
  process: CommandProcess;
}

describe("three replicas behind HAProxy, configured as documented", function () {
  this.timeout(60_000);
  let database: Awaited<ReturnType<typeof freshDatabase>>;
  let folder: string;
  let env: Record<string, string>;
  let haproxy: Haproxy | undefined;
  let frontend: number;
  let token: string;
  let ca: Buffer;
  let passedThrough: number;
  let gatewayCertificate: { cert: Buffer; key: Buffer };
  const replicas: Replica[] = [];
  const clients: { close(): void }[] = [];

  async function start({ port, adminPort }: Omit<Replica, "process">): Promise<CommandProcess> {
    const process = new CommandProcess(["serve"], {
      ...env,
      LISTEN_ADDRESS: `127.0.0.1:${port}`,
      ADMIN_ADDRESS: `127.0.0.1:${adminPort}`,
    });
    await process.line("index loaded");
    return process;
  }

  before(async function () {
    folder = await freshFolder();
    database = await freshDatabase();
    await migrate("up", parseDatabaseUrl(database.url), () => {});
    const file = (name: string) => join(folder, name);
    const authority = await createAuthority();
    const { certificate, key } = await authority.issue([{ type: "dns", value: "localhost" }]);
    const signingKey = await createSigningKey("k1");
    for (const [name, text] of [
      ["ca.pem", authority.certificate],
      ["server.pem", certificate],
      ["server.key", key],
      ["haproxy.pem", `${certificate}\n${key}`],
      ["keys.json", keySetOf(signingKey)],
    ] as const) {
      await writeFile(file(name), text);
    }
    const exp = Math.floor(Date.now() / 1000) + 3600;
    const claims = { iss: "https://id.test", aud: "token-blacklist", sub: "gateway", exp };
    token = await signToken(signingKey, { ...claims, scope: "check revoke" });
    ca = Buffer.from(authority.certificate);
    const own = await authority.issue([{ type: "dns", value: "gateway.test" }]);
    gatewayCertificate = { cert: Buffer.from(own.certificate), key: Buffer.from(own.key) };
    env = {
      DATABASE_URL: database.url,
      TLS_CERT_FILE: file("server.pem"),
      TLS_KEY_FILE: file("server.key"),
      AUTH_JWKS_FILE: file("keys.json"),
      AUTH_ISSUER: claims.iss,
      AUTH_AUDIENCE: claims.aud,
      TLS_CLIENT_CA_FILE: file("ca.pem"),
      TLS_CLIENT_ROLES: "DNS:gateway.test=check",
    };

    const page = await readFile(new URL("../../docs/operations.md", import.meta.url), "utf8");
    const [, passing = ""] = /```haproxy\n(.*?) *```/s.exec(page) ?? [];
    const shipped = await readFile(new URL("../../deploy/haproxy/haproxy.cfg", import.meta.url), "utf8");
    let config = `${shipped}\n${passing}`;
    const replace = (documented: string, ours: string) => {
      expect(config.split(documented), documented).to.have.length.above(1);
      config = config.replaceAll(documented, ours);
    };
    frontend = await freePort();
    passedThrough = await freePort();
    replace("bind :50050", `bind 127.0.0.1:${frontend}`);
    replace("bind :50060", `bind 127.0.0.1:${passedThrough}`);
    replace("secure/", `${folder}/`);
    for (const number of [1, 2, 3]) {
      const ports = { port: await freePort(), adminPort: await freePort() };
      replace(`127.0.0.1:5005${number}`, `127.0.0.1:${ports.port}`);
      replace(`port 946${number}`, `port ${ports.adminPort}`);
      replicas.push({ ...ports, process: await start(ports) });
    }
    haproxy = await startHaproxy(this, { config, folder, port: frontend });
  });
  afterEach(() => {
    for (const client of clients.splice(0)) client.close();
  });
  after(async () => {
    await haproxy?.stop();
    await Promise.all(replicas.map(({ process }) => process.kill()));
    await database?.dispose();
  });

  async function open(options: Partial<ConnectOptions> = {}): Promise<BlacklistClient> {
    const client = connect({
      address: `localhost:${frontend}`,
      credentials: clientCredentials({ token, tls: { ca } }),
      log: { warn() {} },
      ...options,
    });
    clients.push(client);
    await until(() => client.state === "ready", { withinMs: 10_000, what: "the client is ready" });
    return client;
  }

  async function answered(): Promise<number[]> {
    return Promise.all(
      replicas.map(async ({ adminPort }) => {
        const text = await (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text();
        return [...text.matchAll(CALLS)].reduce((sum, [, count]) => sum + Number(count), 0);
      }),
    );
  }

  it("share the calls of one client evenly", async () => {
    const client = createRpcClient({
      address: `localhost:${frontend}`,
      credentials: clientCredentials({ token, tls: { ca } }),
    });
    clients.push(client);
    const before = await answered();
    for (let count = 0; count < 300; count++) await client.isBlacklisted({ jtis: [`token ${count}`] });
    const after = await answered();
    const shares = after.map((calls, index) => calls - (before[index] ?? 0));
    expect(shares.reduce((sum, share) => sum + share)).to.equal(300);
    for (const share of shares) expect(share).to.be.within(90, 110);
  });

  it("share the streams of several clients evenly", async () => {
    const before = await answered();
    for (let number = 0; number < 6; number++) {
      const client = await open();
      for (let count = 0; count < 50; count++) await client.isBlacklisted(`token ${count}`);
    }
    const after = await answered();
    expect(after.map((calls, index) => calls - (before[index] ?? 0))).to.deep.equal([100, 100, 100]);
  });

  it("refuse an unauthenticated caller", async () => {
    const client = await open({ credentials: clientCredentials({ tls: { ca } }) });
    const error = await client.isBlacklisted("x").then(
      () => undefined,
      (thrown: { code: string }) => thrown.code,
    );
    expect(error).to.equal("UNAUTHENTICATED");
  });

  it("authenticate by certificate a caller whose connection is passed through, and no other", async () => {
    const credentials = clientCredentials({ tls: { ca, ...gatewayCertificate } });
    const through = await open({ credentials, address: `localhost:${passedThrough}` });
    const ended = await open({ credentials });
    const answers = [through, ended].map((client) =>
      client.isBlacklisted("x").catch(({ code }: { code: string }) => code),
    );
    expect(await Promise.all(answers)).to.deep.equal([false, "UNAUTHENTICATED"]);
  });

  for (const [signal, code, done] of [
    ["SIGTERM", 0, "stopped"],
    ["SIGKILL", null, "killed"],
  ] as const) {
    it(`lose no call and no watch while each in turn is ${done} and started`, async () => {
      const states: string[] = [];
      const remote = await open();
      const watching = await open({
        mode: "local",
        metrics: { state: (state) => void states.push(state) },
      });
      const wrong: string[] = [];
      let answers = 0;
      let revoked = 0;
      let stopped = false;
      const asking = [remote, watching].flatMap((client) =>
        Array.from({ length: 8 }, async (_, place) => {
          while (!stopped) {
            answers++;
            await client.isBlacklisted(`never ${place} ${answers}`).then(
              (answer) => answer && wrong.push("a token is blacklisted that was never revoked"),
              (error) => wrong.push(`check: ${error}`),
            );
          }
        }),
      );
      const revoking = (async () => {
        while (!stopped) {
          const jti = `${signal} ${revoked++}`;
          try {
            await remote.blacklist([{ jti, expiresAt: YEAR_2100 }]);
            // The other client must learn it from its watch or by a check.
            if (!(await watching.isBlacklisted(jti))) wrong.push(`${jti} is not blacklisted`);
          } catch (error) {
            wrong.push(`revocation: ${error}`);
          }
        }
      })();
      try {
        for (const replica of replicas) {
          await replica.process.signal(signal);
          const ended = await replica.process.ended;
          if (ended.code !== code) wrong.push(`a replica ended with ${ended.code}`);
          replica.process = await start(replica);
        }
        // The stream continues: new revocations arrive without a request.
        await remote.blacklist([{ jti: `the last ${signal}`, expiresAt: YEAR_2100 }]);
        await until(() => watching.peek(`the last ${signal}`) === true, {
          withinMs: 10_000,
          what: "the watch says so",
        });
      } finally {
        stopped = true;
        await Promise.all([...asking, revoking]);
      }
      expect(wrong).to.deep.equal([]);
      // It resumed, and needed no snapshot.
      expect(states.slice(0, 2)).to.deep.equal(["loading", "ready"]);
      expect(states.slice(2)).to.not.include("loading");
      expect(answers).to.be.above(1000);
      expect(revoked).to.be.above(50);
    });
  }
});
