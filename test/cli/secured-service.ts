import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { AssertionError } from "chai";
import type { JWTPayload } from "jose";
import { createAuthority } from "../support/certificates.ts";
import { createSigningKey, keySetOf, signToken } from "../support/issuer.ts";
import { startService } from "../support/service.ts";
import { freshFolder } from "../support/shared.ts";
import { type CliResult, type CliSetup, runCli } from "./run-cli.ts";

const CALLERS = { iss: "https://id.test", aud: "token-blacklist" };
const TOKENS = { iss: "https://issuer.test" };

/**
 * The real service twice with authentication: in plain text on this machine, and over TLS. A folder has the files of a caller:
 * `ca.pem`, `operator.pem` and `operator.key` (with the roles list and revoke), and of another CA
 * `other-ca.pem`, `stranger.pem` and `stranger.key`.
 */
export interface SecuredService {
  readonly plain: string;
  readonly encrypted: string;
  /** The path of a file in the folder. */
  file(name: string): string;
  /** Writes one. */
  write(name: string, text: string): Promise<string>;
  /** A caller's token. */
  token(sub: string, scope?: string): Promise<string>;
  /** A token to blacklist, which expires in an hour by default. */
  jwt(claims: Omit<JWTPayload, "exp"> & { exp?: number | undefined }): Promise<string>;
  /** Runs one command. Throws if its output contains anything of a token or private key created here. */
  run(argv: readonly string[], setup?: CliSetup): Promise<CliResult>;
  /** The caller's name in the service for these options. Throws the command's error. */
  caller(options: readonly string[], env?: Readonly<Record<string, string>>): Promise<string>;
  stop(): Promise<void>;
}

export async function startSecured(): Promise<SecuredService> {
  const folder = await freshFolder();
  const signingKey = await createSigningKey("k1");
  const secrets: string[] = ["PRIVATE KEY"];
  let calls = 0;

  const file = (name: string) => join(folder, name);
  async function write(name: string, text: string): Promise<string> {
    await writeFile(file(name), text);
    return file(name);
  }

  const keys = await write("keys.json", keySetOf(signingKey));
  const authority = await createAuthority();
  const others = await createAuthority("others");
  await write("ca.pem", authority.certificate);
  await write("other-ca.pem", others.certificate);
  for (const [name, issuer, value] of [
    ["server", authority, "localhost"],
    ["operator", authority, "operator.test"],
    ["stranger", others, "operator.test"],
  ] as const) {
    const { certificate, key } = await issuer.issue([{ type: "dns", value }]);
    await write(`${name}.pem`, certificate);
    await write(`${name}.key`, key);
    secrets.push(...key.split("\n").filter((line) => line.length > 20 && !line.startsWith("-")));
  }

  const auth = {
    AUTH_JWKS_FILE: keys,
    AUTH_ISSUER: CALLERS.iss,
    AUTH_AUDIENCE: CALLERS.aud,
    TOKEN_ISSUERS: `${TOKENS.iss}=file:${keys}`,
  };
  const tls = {
    TLS_CERT_FILE: file("server.pem"),
    TLS_KEY_FILE: file("server.key"),
    TLS_CLIENT_CA_FILE: file("ca.pem"),
    TLS_CLIENT_ROLES: "DNS:operator.test=list,revoke",
  };
  const plain = await startService({ url: `sqlite:${file("plain.db")}`, env: auth });
  const encrypted = await startService({ url: `sqlite:${file("tls.db")}`, env: { ...auth, ...tls } });

  async function sign(claims: Parameters<SecuredService["jwt"]>[0]): Promise<string> {
    const token = await signToken(signingKey, {
      exp: Math.floor(Date.now() / 1000) + 3600,
      ...claims,
    } as JWTPayload);
    // The header is the same for all of them, and no secret.
    secrets.push(...token.split(".").slice(1));
    return token;
  }

  async function run(argv: readonly string[], setup: CliSetup = {}): Promise<CliResult> {
    const result = await runCli(argv, setup);
    const shown = result.stdout + result.stderr;
    if (secrets.some((secret) => shown.includes(secret))) {
      throw new AssertionError(`a secret can be seen: ${shown}`);
    }
    return result;
  }

  return {
    plain: plain.address,
    // By the name in its certificate.
    encrypted: encrypted.address.replace("127.0.0.1", "localhost"),
    file,
    write,
    run,
    token: (sub, scope = "check revoke list prune") => sign({ ...CALLERS, sub, scope }),
    jwt: (claims) => sign({ ...TOKENS, ...claims }),
    async caller(options, env = {}) {
      const argv = ["blacklist", `caller-${calls++}`, "--expires-at", "1h", "--output", "ndjson", ...options];
      const { exitCode, stdout, stderr } = await run(argv, { io: { env } });
      if (exitCode !== 0 || stderr !== "") throw new AssertionError(`${exitCode}: ${stderr}`);
      return (JSON.parse(stdout) as { revoked_by: string }).revoked_by;
    },
    async stop() {
      await Promise.all([plain.stop(), encrypted.stop()]);
    },
  };
}
