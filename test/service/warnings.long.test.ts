import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect } from "chai";
import { backends } from "../support/backends.ts";
import { createAuthority } from "../support/certificates.ts";
import { createSigningKey, keySetOf, signToken } from "../support/issuer.ts";
import { CommandProcess, type Ended } from "../support/service-process.ts";
import { freshFolder } from "../support/shared.ts";

const CLIENT = new URL("../../dist/client/connect.js", import.meta.url).href;
/** A deprecation ends the process, and every other warning is on standard error. */
const STRICT = { NODE_OPTIONS: "--throw-deprecation --trace-warnings" };
const CALLERS = { iss: "https://id.test", aud: "token-blacklist" };

/** A gateway: both modes, delays beyond a timer's range, every call, and a signal shared by many. */
const GATEWAY = `
  import { clientCredentials, connect } from ${JSON.stringify(CLIENT)};
  import { readFileSync } from "node:fs";
  const [address, ca, token] = process.argv.slice(1);
  const credentials = clientCredentials({ token, tls: { ca: readFileSync(ca) } });
  const { signal } = new AbortController();
  for (const mode of ["remote", "local"]) {
    const client = connect({ address, credentials, mode, timeoutMs: 30 * 86_400_000 });
    await client.blacklist([{ jti: mode, expiresAt: new Date(Date.now() + 3_600_000) }]);
    const checks = Array.from({ length: 50 }, (_, i) => client.isBlacklisted("jti-" + i, { signal }));
    console.log(await client.isBlacklisted(mode), (await Promise.all(checks)).some(Boolean));
    for await (const _ of client.list({ signal })) break;
    await client.prune({ dryRun: true, signal });
    client.close();
  }
`;

describe("Node.js prints no warnings", function () {
  this.timeout(120_000);

  for (const backend of backends) {
    it(`in the service, the commands and a client (${backend.name})`, async () => {
      const folder = await freshFolder();
      const { url, dispose } = await backend.create();
      const authority = await createAuthority();
      const { certificate, key } = await authority.issue([{ type: "ip", value: "127.0.0.1" }]);
      const signingKey = await createSigningKey("k1");
      const files = {
        "ca.pem": authority.certificate,
        "cert.pem": certificate,
        "key.pem": key,
        "keys.json": keySetOf(signingKey),
      };
      for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
      const file = (name: string) => join(folder, name);
      const exp = Math.floor(Date.now() / 1000) + 3600;
      const scope = "check revoke list prune";
      const token = await signToken(signingKey, { ...CALLERS, sub: "gateway", scope, exp });

      const database = { ...STRICT, DATABASE_URL: url };
      const ended: Record<string, Ended> = {
        migrate: await new CommandProcess(["migrate", "up"], database).ended,
      };
      const service = new CommandProcess(["serve"], {
        ...database,
        LISTEN_ADDRESS: "127.0.0.1:0",
        ADMIN_ADDRESS: "127.0.0.1:0",
        AUTHZ_ADDRESS: "127.0.0.1:0",
        TLS_CERT_FILE: file("cert.pem"),
        TLS_KEY_FILE: file("key.pem"),
        AUTH_JWKS_FILE: file("keys.json"),
        AUTH_ISSUER: CALLERS.iss,
        AUTH_AUDIENCE: CALLERS.aud,
        AUTHZ_JTI_HEADER: "x-jti",
      });
      try {
        const { address, admin, authz } = (await service.line("listening")) as Record<string, string>;
        const run = async (command: string, ...args: string[]) => {
          const env = { ...STRICT, TOKEN_BLACKLIST_TOKEN: token };
          const all = [command, ...args, "--address", address as string, "--cacert", file("ca.pem")];
          ended[command] = await new CommandProcess(all, env).ended;
        };
        await run("blacklist", "a", "--expires-at", "1h", "--timeout", "30d");
        const health = new CommandProcess(["health", "--timeout", "30d"], {
          ...STRICT,
          ADMIN_ADDRESS: admin as string,
        });
        const [gateway] = await Promise.all([
          promisify(execFile)(
            process.execPath,
            ["--input-type=module", "-e", GATEWAY, address as string, file("ca.pem"), token],
            { env: { ...process.env, ...STRICT } },
          ),
          run("check", "a", "b", "--timeout", "30d"),
          run("list"),
          run("export", "--output", file("all.ndjson")).then(() => run("import", file("all.ndjson"))),
          run("prune", "--dry-run"),
          fetch(`http://${admin}/metrics`).then((response) => response.text()),
          fetch(`http://${authz}/authz`).then((response) => response.text()),
        ]);
        ended.health = await health.ended;
        expect(gateway).to.deep.equal({ stdout: "true false\ntrue false\n", stderr: "" });
      } finally {
        await service.signal("SIGTERM");
        ended.serve = await service.ended;
        await dispose();
      }
      const told = Object.entries(ended).map(([name, { code, stderr }]) => {
        return [name, [code, /\(node:\d+\)|warning/i.test(stderr) ? stderr : ""]];
      });
      expect(Object.fromEntries(told)).to.deep.equal({
        migrate: [0, ""],
        serve: [0, ""],
        blacklist: [0, ""],
        check: [1, ""],
        list: [0, ""],
        export: [0, ""],
        import: [0, ""],
        prune: [0, ""],
        health: [0, ""],
      });
    });
  }
});
