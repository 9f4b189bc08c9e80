import { createPrivateKey } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { type Config, ConfigError, readConfig } from "../src/config/config.ts";
import { type CertificateAndKey, createAuthority } from "./support/certificates.ts";
import { thrownBy } from "./support/rejection.ts";
import { freshFolder } from "./support/shared.ts";

const DEFAULTS: Config = {
  database: { kind: "sqlite", filename: "./data/token-blacklist.db" },
  listenAddress: { host: "127.0.0.1", port: 50051 },
  adminAddress: { host: "127.0.0.1", port: 9464 },
  expiryLeewayMs: 5 * 60_000,
  pruneIntervalMs: 3_600_000,
  pruneRetentionMs: 0,
  shutdownGraceMs: 30_000,
  index: true,
  indexMaxEntries: 20_000_000,
  logLevel: "info",
  security: {
    bearers: undefined,
    tls: undefined,
    certificateRoles: undefined,
    certificateRolesFile: undefined,
    insecure: false,
    reflection: true,
    tokenIssuers: [],
    tokenAlgorithms: ["RS256", "PS256", "ES256", "EdDSA", "Ed25519"],
    maxTokenLifetimeMs: 0,
    auditLog: true,
    quota: { rowsPerSecond: 0, rows: undefined },
    streamsPerCaller: 2000,
  },
  authz: {
    extAuthz: false,
    address: undefined,
    jtiHeader: undefined,
    methodHeader: undefined,
    unverifiedBearer: false,
    missingJti: "deny",
    preflight: "deny",
    maxStalenessMs: 0,
    insecure: false,
  },
  connections: { total: undefined, perAddress: undefined },
};

function problemsOf(env: Record<string, string>): readonly string[] {
  return (thrownBy(() => readConfig(env)) as ConfigError).problems;
}

async function writtenFile(text: string): Promise<string> {
  const file = join(await freshFolder(), "file");
  await writeFile(file, text);
  return file;
}

describe("readConfig", () => {
  it("has a default for every setting", () => {
    expect(readConfig({})).to.deep.equal(DEFAULTS);
  });

  it("reads every variable", () => {
    const env = {
      DATABASE_URL: "mysql://app:s3cret@db:3307/tokens",
      LISTEN_ADDRESS: "[::1]:1",
      ADMIN_ADDRESS: "localhost:0",
      EXPIRY_LEEWAY: "0",
      PRUNE_INTERVAL: "0s",
      PRUNE_RETENTION: "90d",
      SHUTDOWN_GRACE: "1m30s",
      INDEX: "off",
      INDEX_MAX_ENTRIES: "1000",
      LOG_LEVEL: "debug",
      MAX_CONNECTIONS: "500",
      MAX_CONNECTIONS_PER_ADDRESS: "50",
    };
    expect(readConfig(env)).to.deep.equal({
      database: {
        kind: "mysql",
        host: "db",
        port: 3307,
        user: "app",
        password: "s3cret",
        database: "tokens",
        tls: {},
      },
      listenAddress: { host: "::1", port: 1 },
      adminAddress: { host: "localhost", port: 0 },
      expiryLeewayMs: 0,
      pruneIntervalMs: 0,
      pruneRetentionMs: 90 * 86_400_000,
      shutdownGraceMs: 90_000,
      index: false,
      indexMaxEntries: 1000,
      logLevel: "debug",
      security: DEFAULTS.security,
      authz: DEFAULTS.authz,
      connections: { total: 500, perAddress: 50 },
    });
  });

  it("treats an empty variable as absent", () => {
    const env = {
      DATABASE_URL: "",
      LISTEN_ADDRESS: "",
      EXPIRY_LEEWAY: "",
      LOG_LEVEL: "",
      LOG_LEVEL_FILE: "",
    };
    expect(readConfig(env)).to.deep.equal(DEFAULTS);
  });

  it("returns a frozen configuration", () => {
    expect(readConfig({})).to.be.frozen;
  });

  it("reports all problems in one error, one per line", () => {
    const env = {
      DATABASE_URL: "postgres://db/tokens",
      LISTEN_ADDRESS: "50051",
      ADMIN_ADDRESS: "localhost:65536",
      EXPIRY_LEEWAY: "5",
      PRUNE_INTERVAL: "999ms",
      PRUNE_RETENTION: "36501d",
      SHUTDOWN_GRACE: "0",
      LOG_LEVEL: "INFO",
    };
    const error = thrownBy(() => readConfig(env)) as ConfigError;
    const problems = [
      "DATABASE_URL must begin with sqlite: or mysql://",
      "LISTEN_ADDRESS must be host:port, such as 127.0.0.1:50051 or [::1]:50051",
      "ADMIN_ADDRESS must be host:port, such as 127.0.0.1:50051 or [::1]:50051",
      "EXPIRY_LEEWAY must be a duration such as 30s, 5m or 1h",
      "PRUNE_INTERVAL must be between 1s and 20d",
      "PRUNE_RETENTION must be between 0 and 36500d",
      "SHUTDOWN_GRACE must be between 1s and 1h",
      "LOG_LEVEL must be one of fatal, error, warn, info, debug, trace, silent",
    ];
    expect(error).to.be.instanceOf(ConfigError);
    expect({ problems: error.problems, message: error.message }).to.deep.equal({
      problems,
      message: problems.join("\n"),
    });
  });

  it("accepts durations within their bounds only", () => {
    const BOUNDS = [
      ["EXPIRY_LEEWAY", "0", "30d", "30d1ms"],
      ["PRUNE_INTERVAL", "1s", "20d", "20d1ms"],
      ["PRUNE_RETENTION", "0", "36500d", "36500d1ms"],
      ["SHUTDOWN_GRACE", "1s", "1h", "1h1ms"],
    ] as const;
    for (const [name, least, most, beyond] of BOUNDS) {
      readConfig({ [name]: least });
      readConfig({ [name]: most });
      expect(problemsOf({ [name]: beyond })).to.have.length(1);
    }
  });

  describe("with NAME_FILE", () => {
    let file: string;

    beforeEach(async () => {
      file = join(await freshFolder(), "database-url");
    });

    for (const ending of ["", "\n", "\r\n"]) {
      it(`reads the value from the file, which may end in ${JSON.stringify(ending)}`, async () => {
        await writeFile(file, `mysql://app:pa%20ss@db/tokens${ending}`);
        expect(readConfig({ DATABASE_URL_FILE: file }).database).to.deep.equal({
          kind: "mysql",
          host: "db",
          port: 3306,
          user: "app",
          password: "pa ss",
          database: "tokens",
          tls: {},
        });
      });
    }

    it("removes only one line break at the end", async () => {
      await writeFile(file, "sqlite:a b\n");
      expect(readConfig({ DATABASE_URL_FILE: file }).database).to.deep.equal({
        kind: "sqlite",
        filename: "a b",
      });
      await writeFile(file, "sqlite:a b \n");
      expect(problemsOf({ DATABASE_URL_FILE: file })).to.deep.equal([
        "DATABASE_URL begins or ends with a space: remove it",
      ]);
    });

    it("refuses both variables at once, and a missing file", () => {
      const env = { DATABASE_URL: "sqlite:x", DATABASE_URL_FILE: file, LOG_LEVEL_FILE: file };
      expect(problemsOf(env)).to.deep.equal([
        "DATABASE_URL and DATABASE_URL_FILE are both set: choose one",
        "LOG_LEVEL cannot be read from the file that LOG_LEVEL_FILE names (ENOENT)",
      ]);
    });

    it("does not fall back to the default if the file is empty", async () => {
      await writeFile(file, "");
      expect(problemsOf({ DATABASE_URL_FILE: file })).to.deep.equal([
        "DATABASE_URL cannot be read: the file that DATABASE_URL_FILE names is empty",
      ]);
    });
  });

  const CANARY = "c4n4ry";
  const WRONG_URLS = [
    `postgres://app:${CANARY}@db/tokens`,
    `mysql://app:${CANARY}@db`,
    `mysql://app:${CANARY}@db/`,
    `mysql://app:${CANARY}@db/a/b`,
    `mysql://app:${CANARY}@db:99999/tokens`,
    `mysql://app:${CANARY}@/tokens`,
    `mysql://app:${CANARY}%zz@db/tokens`,
    `mysql://app:${CANARY}@db/tokens?ssl=${CANARY}`,
    `mysql://app:${CANARY}@db/tokens#${CANARY}`,
    `mysql://app:${CANARY}@d b/tokens`,
    `mysql://app:${CANARY}/@db/tokens`,
    `mysql:app:${CANARY}@db/tokens`,
    CANARY,
  ];
  for (const url of WRONG_URLS) {
    it(`never repeats a password, such as in ${url}`, async () => {
      const file = join(await freshFolder(), "url");
      await writeFile(file, url);
      for (const env of [{ DATABASE_URL: url }, { DATABASE_URL_FILE: file }]) {
        const error = thrownBy(() => readConfig(env)) as ConfigError;
        expect(error.problems).to.have.length(1);
        expect(`${error.stack}\n${JSON.stringify(error)}`).not.to.include(CANARY);
      }
    });
  }

  describe("of callers' tokens", () => {
    const AUTH = {
      AUTH_JWKS_URL: "https://id.example/jwks.json",
      AUTH_ISSUER: "https://id.example",
      AUTH_AUDIENCE: "token-blacklist",
    };
    const TOGETHER =
      "AUTH_JWKS_URL or AUTH_JWKS_FILE, AUTH_ISSUER and AUTH_AUDIENCE need each other: set all three";

    it("reads the source of their keys and their requirements", () => {
      const { bearers, reflection } = readConfig(AUTH).security;
      expect({ bearers, reflection }).to.deep.equal({
        bearers: {
          keys: { kind: "url", url: "https://id.example/jwks.json" },
          issuer: "https://id.example",
          audience: "token-blacklist",
          algorithms: ["RS256", "PS256", "ES256", "EdDSA", "Ed25519"],
          scopeClaim: "scope",
          clockToleranceMs: 5000,
        },
        reflection: false,
      });
    });

    it("reads every variable, and the keys from a file", async () => {
      const file = await writtenFile('{"keys":[]}');
      const env = {
        AUTH_JWKS_FILE: file,
        AUTH_ISSUER: "i",
        AUTH_AUDIENCE: "a",
        AUTH_ALGORITHMS: "ES384",
        AUTH_CLOCK_TOLERANCE: "1m",
        AUTH_SCOPE_CLAIM: "scp",
        REFLECTION: "on",
      };
      const { bearers, reflection } = readConfig(env).security;
      expect({ bearers, reflection }).to.deep.equal({
        bearers: {
          keys: { kind: "file", path: file },
          issuer: "i",
          audience: "a",
          algorithms: ["ES384"],
          scopeClaim: "scp",
          clockToleranceMs: 60_000,
        },
        reflection: true,
      });
    });

    for (const missing of Object.keys(AUTH)) {
      it(`needs all settings together: not without ${missing}, nor only that`, () => {
        const { [missing as keyof typeof AUTH]: value, ...rest } = AUTH;
        expect([
          problemsOf(rest),
          problemsOf({ ...rest, [missing]: "" }),
          problemsOf({ [missing]: value }),
        ]).to.deep.equal(Array(3).fill([TOGETHER]));
      });
    }

    it("takes their keys from one source", async () => {
      expect(problemsOf({ ...AUTH, AUTH_JWKS_FILE: await writtenFile("") })).to.deep.equal([
        "AUTH_JWKS_URL and AUTH_JWKS_FILE are both set: choose one",
      ]);
    });

    it("refuses a missing file of keys", async () => {
      const { AUTH_JWKS_URL: _, ...rest } = AUTH;
      expect(problemsOf({ ...rest, AUTH_JWKS_FILE: join(await freshFolder(), CANARY) })).to.include(
        "AUTH_JWKS_FILE names a file that cannot be read (ENOENT)",
      );
    });

    it("refuses a URL of keys without TLS", () => {
      expect(problemsOf({ ...AUTH, AUTH_JWKS_URL: `http://${CANARY}.example/` })).to.include(
        "AUTH_JWKS_URL must begin with https:// (http:// only for loopback addresses)",
      );
    });

    for (const algorithms of ["none", "HS256", "RS256 HS256", " "]) {
      it(`refuses ${JSON.stringify(algorithms)} for algorithms, even if authentication is off`, () => {
        const PROBLEM =
          "must be one or more of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA, Ed25519";
        expect([
          problemsOf({ ...AUTH, AUTH_ALGORITHMS: algorithms }),
          problemsOf({ AUTH_ALGORITHMS: algorithms }),
          problemsOf({ TOKEN_ALGORITHMS: algorithms }),
        ]).to.deep.equal([
          [`AUTH_ALGORITHMS ${PROBLEM}`],
          [`AUTH_ALGORITHMS ${PROBLEM}`],
          [`TOKEN_ALGORITHMS ${PROBLEM}`],
        ]);
      });
    }

    it("leaves authentication off if only the algorithms or the claim are set", () => {
      expect(readConfig({ AUTH_ALGORITHMS: "ES256", AUTH_SCOPE_CLAIM: "scp" }).security.bearers).to.equal(
        undefined,
      );
    });
  });

  describe("of TLS", () => {
    let files: { TLS_CERT_FILE: string; TLS_KEY_FILE: string };
    let clients: { TLS_CLIENT_CA_FILE: string; TLS_CLIENT_ROLES: string };
    let file: string;

    before(async () => {
      const authority = await createAuthority();
      const { certificate, key } = await authority.issue([{ type: "dns", value: "localhost" }]);
      file = await writtenFile(authority.certificate);
      files = { TLS_CERT_FILE: await writtenFile(certificate), TLS_KEY_FILE: await writtenFile(key) };
      clients = { TLS_CLIENT_CA_FILE: file, TLS_CLIENT_ROLES: "DNS:gateway.internal=check,list" };
    });

    it("reads the files, and the roles of client certificates", () => {
      const { tls, certificateRoles, reflection } = readConfig({ ...files, ...clients }).security;
      expect({ tls, roles: [...(certificateRoles ?? [])], reflection }).to.deep.equal({
        tls: {
          certificate: files.TLS_CERT_FILE,
          key: files.TLS_KEY_FILE,
          clientCa: file,
          clientCrl: undefined,
        },
        roles: [["DNS:gateway.internal", ["check", "list"]]],
        reflection: false,
      });
    });

    it("requests no client certificates by default", () => {
      const { tls, certificateRoles, reflection } = readConfig(files).security;
      expect({ tls, certificateRoles, reflection }).to.deep.equal({
        tls: {
          ...{ certificate: files.TLS_CERT_FILE, key: files.TLS_KEY_FILE },
          ...{ clientCa: undefined, clientCrl: undefined },
        },
        certificateRoles: undefined,
        reflection: true,
      });
    });

    it("needs certificate and key together, and client CAs and roles together", () => {
      const PAIR = "TLS_CERT_FILE and TLS_KEY_FILE need each other: set both";
      const CLIENTS = "TLS_CLIENT_CA_FILE and TLS_CLIENT_ROLES need each other: set both or neither";
      const { TLS_CLIENT_CA_FILE, TLS_CLIENT_ROLES } = clients;
      expect([
        problemsOf({ TLS_CERT_FILE: files.TLS_CERT_FILE }),
        problemsOf({ TLS_KEY_FILE: files.TLS_KEY_FILE }),
        problemsOf({ TLS_CLIENT_CA_FILE }),
        problemsOf({ ...files, TLS_CLIENT_CA_FILE }),
        problemsOf({ ...files, TLS_CLIENT_ROLES }),
        problemsOf({ TLS_CLIENT_ROLES }),
      ]).to.deep.equal([[PAIR], [PAIR], [PAIR, CLIENTS], [CLIENTS], [CLIENTS], [CLIENTS]]);
    });

    it("accepts revocation lists only if the clients' CA has signed them", async () => {
      const [own, other] = [await createAuthority(), await createAuthority()];
      const { certificate, key } = await own.issue([{ type: "dns", value: "localhost" }]);
      const TLS_CLIENT_CRL_FILE = await writtenFile(await own.revoke([certificate]));
      const env = {
        ...{ TLS_CERT_FILE: await writtenFile(certificate), TLS_KEY_FILE: await writtenFile(key) },
        ...{ TLS_CLIENT_CA_FILE: await writtenFile(own.certificate), TLS_CLIENT_ROLES: "DNS:a.test=check" },
      };
      expect(readConfig({ ...env, TLS_CLIENT_CRL_FILE }).security.tls?.clientCrl).to.equal(
        TLS_CLIENT_CRL_FILE,
      );
      const problemWith = async (crl: string) =>
        problemsOf({ ...env, TLS_CLIENT_CRL_FILE: await writtenFile(crl) });
      expect((await problemWith(await other.revoke([]))).join()).to.match(
        /has no revocation list signed by certificate number 1/,
      );
      expect((await problemWith(certificate)).join()).to.match(
        /must name a file that contains only revocation lists in PEM/,
      );
      expect(problemsOf({ TLS_CLIENT_CRL_FILE })).to.deep.equal([
        "TLS_CLIENT_CRL_FILE needs TLS_CLIENT_CA_FILE",
      ]);
    });

    it("refuses only carrier certificates if bearer tokens are not accepted", () => {
      const NO_ROLES =
        "TLS_CLIENT_ROLES must give a role to at least one certificate, unless bearer tokens are accepted (AUTH_...)";
      const only = {
        ...files,
        TLS_CLIENT_CA_FILE: file,
        TLS_CLIENT_ROLES: "DNS:a.test=none DNS:b.test=none",
      };
      expect(problemsOf(only)).to.deep.equal([NO_ROLES]);
      expect(
        readConfig({ ...only, TLS_CLIENT_ROLES: "DNS:a.test=none DNS:b.test=check" }).security
          .certificateRoles,
      ).to.deep.equal(
        new Map([
          ["DNS:a.test", []],
          ["DNS:b.test", ["check"]],
        ]),
      );
    });

    it("refuses missing files", () => {
      const gone = `${file}-${CANARY}`;
      const env = { TLS_CERT_FILE: gone, TLS_KEY_FILE: gone, TLS_CLIENT_CA_FILE: gone };
      const problems = problemsOf(env);
      for (const name of Object.keys(env)) {
        expect(problems).to.include(`${name} names a file that cannot be read (ENOENT)`);
      }
      expect(problems.join()).not.to.include(CANARY);
    });

    describe("whose files do not fit", () => {
      let one: CertificateAndKey;
      let other: CertificateAndKey;
      let authority: string;

      before(async () => {
        const issuer = await createAuthority();
        authority = issuer.certificate;
        one = await issuer.issue([{ type: "dns", value: "a.test" }]);
        other = await issuer.issue([{ type: "dns", value: "b.test" }]);
      });

      const encrypted = () =>
        createPrivateKey(one.key)
          .export({ type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: CANARY })
          .toString();
      const der = () => createPrivateKey(one.key).export({ type: "pkcs8", format: "der" }).toString("latin1");
      const BELONG = "TLS_KEY_FILE is not the key of the certificate in TLS_CERT_FILE";
      const TOGETHER = "use a certificate and the key it was issued for";
      const WRONG: readonly (readonly [string, () => [cert: string, key: string], string | RegExp])[] = [
        ["another certificate's key", () => [one.certificate, other.key], `${BELONG}: ${TOGETHER}`],
        [
          "the authority's certificate alone",
          () => [authority, one.key],
          `${BELONG}, which is a CA certificate: ${TOGETHER}`,
        ],
        [
          "a chain in the wrong order",
          () => [`${authority}\n${one.certificate}`, one.key],
          /^TLS_CERT_FILE does not begin with the certificate of TLS_KEY_FILE/,
        ],
        [
          "the two files exchanged",
          () => [one.key, one.certificate],
          /^TLS_CERT_FILE names a file with a private key and no certificate/,
        ],
        [
          "the certificate twice",
          () => [one.certificate, one.certificate],
          /^TLS_KEY_FILE names a file with a certificate and no private key/,
        ],
        [
          "a chain of files that were joined without a line break",
          () => [`${one.certificate.trim()}${authority}`, one.key],
          "TLS_CERT_FILE names a file whose certificate number 1 cannot be read",
        ],
        [
          "an encrypted key",
          () => [one.certificate, encrypted()],
          /^TLS_KEY_FILE names a key that is encrypted/,
        ],
        ["an empty certificate", () => ["", one.key], "TLS_CERT_FILE names a file that is empty"],
        ["an empty key", () => [one.certificate, "\n"], "TLS_KEY_FILE names a file that is empty"],
        [
          "a key in DER",
          () => [one.certificate, der()],
          /^TLS_KEY_FILE names a file without a private key in PEM/,
        ],
        [
          "a certificate that was cut off",
          () => [one.certificate.slice(0, 200), one.key],
          /^TLS_CERT_FILE names a file without a certificate/,
        ],
        [
          "a certificate with a hole",
          () => [one.certificate.slice(0, 100) + one.certificate.slice(150), one.key],
          /^TLS_CERT_FILE names a file whose certificate number 1 cannot be read/,
        ],
        [
          "a key with a hole",
          () => [one.certificate, one.key.slice(0, 60) + one.key.slice(80)],
          "TLS_KEY_FILE names a private key that cannot be read",
        ],
      ];
      for (const [what, contents, says] of WRONG) {
        it(`reports one problem that names the setting and repeats nothing: ${what}`, async () => {
          const [cert, key] = contents();
          const env = { TLS_CERT_FILE: await writtenFile(cert), TLS_KEY_FILE: await writtenFile(key) };
          const problems = problemsOf(env);
          expect(problems).to.have.length(1);
          if (typeof says === "string") expect(problems[0]).to.equal(says);
          else expect(problems[0]).to.match(says);
          expect(problems.join()).not.to.match(/\n|MI[GIH]/);
        });
      }

      it("accepts a chain in the right order, and one file for certificate and key", async () => {
        const both = await writtenFile([one.key, one.certificate, authority, ""].join("\r\n"));
        readConfig({ TLS_CERT_FILE: both, TLS_KEY_FILE: both });
      });

      it("refuses CAs of which one is truncated or hidden by a byte order mark, since its clients would be rejected", async () => {
        const pair = {
          TLS_CERT_FILE: await writtenFile(one.certificate),
          TLS_KEY_FILE: await writtenFile(one.key),
        };
        const says = (setting: string) => [
          `${setting} names a file with a certificate that is truncated, or does not begin at the beginning of a line (is there a byte order mark?)`,
        ];
        for (const pem of [
          `${authority}\n${one.certificate.slice(0, 300)}`,
          `\uFEFF${authority}\n${one.certificate}`,
        ]) {
          const file = await writtenFile(pem);
          expect([
            problemsOf({ ...pair, TLS_CLIENT_ROLES: "DNS:a.test=check", TLS_CLIENT_CA_FILE: file }),
            problemsOf({ DATABASE_CA_FILE: file }),
          ]).to.deep.equal([says("TLS_CLIENT_CA_FILE"), says("DATABASE_CA_FILE")]);
        }
      });

      it("does not treat an empty TLS_CLIENT_CA_FILE as the CAs that Node.js trusts, and refuses a folder", async () => {
        const pair = {
          TLS_CERT_FILE: await writtenFile(one.certificate),
          TLS_KEY_FILE: await writtenFile(one.key),
        };
        const roles = { TLS_CLIENT_ROLES: "DNS:a.test=check" };
        expect([
          problemsOf({ ...pair, ...roles, TLS_CLIENT_CA_FILE: await writtenFile("") }),
          problemsOf({ ...pair, ...roles, TLS_CLIENT_CA_FILE: await freshFolder() }),
          problemsOf({ ...pair, TLS_KEY_FILE: await freshFolder() }),
        ]).to.deep.equal([
          ["TLS_CLIENT_CA_FILE names a file that is empty"],
          ["TLS_CLIENT_CA_FILE names a file that cannot be read (EISDIR)"],
          ["TLS_KEY_FILE names a file that cannot be read (EISDIR)"],
        ]);
      });
    });

    it("explains problems of certificate roles without repeating them", () => {
      expect(problemsOf({ ...files, ...clients, TLS_CLIENT_ROLES: `DNS:${CANARY}=admin` })[0]).to.equal(
        "TLS_CLIENT_ROLES must be pairs such as DNS:gateway.internal=check,revoke; the names are of kind DNS, URI or email, the roles check, revoke, list, prune, or none alone for a certificate whose callers authenticate by token",
      );
    });

    describe("on a non-loopback address", () => {
      const REACHED =
        "LISTEN_ADDRESS must be a loopback address, unless TLS (TLS_CERT_FILE, TLS_KEY_FILE) and authentication (AUTH_..., or TLS_CLIENT_CA_FILE and TLS_CLIENT_ROLES) are configured, or INSECURE=yes";
      const AUTH = { AUTH_JWKS_URL: "https://id.example/keys", AUTH_ISSUER: "i", AUTH_AUDIENCE: "a" };

      const ELSEWHERE = [
        "0.0.0.0:1",
        "[::]:1",
        "10.0.0.7:1",
        "[::ffff:127.0.0.1]:1",
        "db.internal:1",
        "127.evil.example:1",
      ];
      for (const LISTEN_ADDRESS of ELSEWHERE) {
        it(`requires TLS and authentication on ${LISTEN_ADDRESS}, unless INSECURE is set`, () => {
          const roles = clients.TLS_CLIENT_ROLES;
          expect([
            problemsOf({ LISTEN_ADDRESS }),
            problemsOf({ LISTEN_ADDRESS, INSECURE: "no" }),
            problemsOf({ LISTEN_ADDRESS, ...files }),
            problemsOf({ LISTEN_ADDRESS, ...AUTH }),
          ]).to.deep.equal(Array(4).fill([REACHED]));
          expect(problemsOf({ LISTEN_ADDRESS, TLS_CLIENT_ROLES: roles })).to.include(REACHED);
          const insecure = [
            { INSECURE: "yes" },
            { INSECURE: "yes", ...files },
            { INSECURE: "yes", ...AUTH },
            { INSECURE: "yes", ...files, ...AUTH },
            { ...files, ...AUTH },
            { ...files, ...clients },
            { ...files, ...clients, ...AUTH },
          ].map((env) => readConfig({ LISTEN_ADDRESS, ...env }).security.insecure);
          expect(insecure).to.deep.equal([true, true, true, false, false, false, false]);
        });
      }

      for (const LISTEN_ADDRESS of ["127.0.0.1:1", "127.1.2.3:1", "localhost:1", "LocalHost:1", "[::1]:1"]) {
        it(`is not needed on ${LISTEN_ADDRESS}, where INSECURE has no effect`, () => {
          const insecure = [{}, { INSECURE: "yes" }, files, AUTH].map(
            (env) => readConfig({ LISTEN_ADDRESS, ...env }).security.insecure,
          );
          expect(insecure).to.deep.equal([false, false, false, false]);
        });
      }

      it("does not apply to the admin address, which reveals nothing about tokens", () => {
        expect(readConfig({ ADMIN_ADDRESS: "0.0.0.0:9464" }).adminAddress.host).to.equal("0.0.0.0");
      });

      it("accepts only yes or no for INSECURE", () => {
        for (const INSECURE of ["true", "1", "YES", "on"]) {
          expect(problemsOf({ INSECURE })).to.deep.equal(["INSECURE must be yes or no"]);
        }
      });

      it("reports one problem if the address itself is invalid", () => {
        expect(problemsOf({ LISTEN_ADDRESS: "0.0.0.0" })).to.deep.equal([
          "LISTEN_ADDRESS must be host:port, such as 127.0.0.1:50051 or [::1]:50051",
        ]);
      });
    });
  });

  describe("of limits on callers", () => {
    it("reads every variable", () => {
      const env = {
        TOKEN_ISSUERS: "https://a.example=https://a.example/keys b=file:/etc/keys.json",
        TOKEN_ALGORITHMS: "ES256,EdDSA",
        MAX_TOKEN_LIFETIME: "30d",
        AUDIT_LOG: "off",
        QUOTA_ROWS_PER_SECOND: "100",
        MAX_STREAMS_PER_CALLER: "50",
        QUOTA_ROWS: "1000000",
        REFLECTION: "off",
      };
      expect(readConfig(env).security).to.deep.equal({
        ...DEFAULTS.security,
        tokenIssuers: [
          { issuer: "https://a.example", keys: { kind: "url", url: "https://a.example/keys" } },
          { issuer: "b", keys: { kind: "file", path: "/etc/keys.json" } },
        ],
        tokenAlgorithms: ["ES256", "EdDSA", "Ed25519"],
        maxTokenLifetimeMs: 30 * 86_400_000,
        auditLog: false,
        quota: { rowsPerSecond: 100, rows: 1_000_000 },
        streamsPerCaller: 50,
        reflection: false,
      });
    });

    it("reports the problem of each", () => {
      const env = {
        REFLECTION: "yes",
        TOKEN_ISSUERS: `https://a.example=https://a.example/keys ${CANARY}`,
        MAX_TOKEN_LIFETIME: "36501d",
        AUDIT_LOG: "no",
        QUOTA_ROWS_PER_SECOND: "1000001",
        QUOTA_ROWS: "-1",
      };
      expect(problemsOf(env)).to.deep.equal([
        "REFLECTION must be on or off",
        "TOKEN_ISSUERS must be pairs such as https://id.example=https://id.example/jwks.json: number 2 is not",
        "MAX_TOKEN_LIFETIME must be between 0 and 36500d",
        "AUDIT_LOG must be on or off",
        "QUOTA_ROWS_PER_SECOND must be a whole number between 0 and 1000000",
        "QUOTA_ROWS must be a whole number between 0 and 1000000000",
      ]);
    });

    it("distinguishes the keys of callers from those of tokens to be blacklisted", () => {
      const auth = { AUTH_JWKS_URL: "https://id.example/keys", AUTH_ISSUER: "i", AUTH_AUDIENCE: "a" };
      expect([
        readConfig(auth).security.tokenIssuers,
        readConfig({ TOKEN_ISSUERS: "i=https://id.example/keys" }).security.bearers,
      ]).to.deep.equal([[], undefined]);
    });
  });

  describe("of the database connection", () => {
    const tlsOf = (env: Record<string, string>) => (readConfig(env).database as { tls?: unknown }).tls;

    it("is encrypted to other machines by default, and not to this one", () => {
      for (const host of ["db", "10.0.0.7", "[fd00::7]", "127.evil.example", "localhost.evil.example"]) {
        const DATABASE_URL = `mysql://${host}/tokens`;
        expect([tlsOf({ DATABASE_URL }), tlsOf({ DATABASE_URL, DATABASE_TLS: "off" })], host).to.deep.equal([
          {},
          undefined,
        ]);
      }
      for (const host of ["localhost", "127.0.0.1", "[::1]"]) {
        const DATABASE_URL = `mysql://${host}/tokens`;
        expect([tlsOf({ DATABASE_URL }), tlsOf({ DATABASE_URL, DATABASE_TLS: "on" })], host).to.deep.equal([
          undefined,
          {},
        ]);
      }
    });

    it("is encrypted if a CA is configured, which is read at start", async () => {
      const ca = (await createAuthority()).certificate;
      const DATABASE_CA_FILE = await writtenFile(ca);
      const tls = { ca };
      for (const host of ["db", "localhost"]) {
        const env = { DATABASE_URL: `mysql://${host}/tokens`, DATABASE_CA_FILE };
        expect([tlsOf(env), tlsOf({ ...env, DATABASE_TLS: "on" })]).to.deep.equal([tls, tls]);
      }
    });

    it("refuses a CA with encryption turned off", async () => {
      const env = {
        DATABASE_URL: "mysql://db/tokens",
        DATABASE_TLS: "off",
        DATABASE_CA_FILE: await writtenFile((await createAuthority()).certificate),
      };
      expect(problemsOf(env)).to.deep.equal(["DATABASE_CA_FILE needs DATABASE_TLS=on"]);
    });

    it("does not treat an empty file, or one without a certificate, as the CAs that Node.js trusts", async () => {
      for (const text of ["", "\n", "-----BEGIN CERTIFICATE-----\n", CANARY]) {
        const env = { DATABASE_URL: "mysql://db/tokens", DATABASE_CA_FILE: await writtenFile(text) };
        expect(problemsOf(env)).to.have.length(1);
        expect(problemsOf(env)[0]).to.match(
          /^DATABASE_CA_FILE names a file (that is empty|without a certificate in PEM)/,
        );
      }
    });

    it("reports the problem of each", async () => {
      expect(
        problemsOf({
          DATABASE_URL: "mysql://db/tokens",
          DATABASE_TLS: "yes",
          DATABASE_CA_FILE: join(await freshFolder(), CANARY),
        }),
      ).to.deep.equal([
        "DATABASE_TLS must be on or off",
        "DATABASE_CA_FILE names a file that cannot be read (ENOENT)",
      ]);
    });

    it("is not encrypted for a file", () => {
      expect(readConfig({ DATABASE_TLS: "on" }).database).to.deep.equal(DEFAULTS.database);
    });
  });

  it("never repeats a value into which a secret may have been put by mistake", () => {
    const env = Object.fromEntries(
      [
        "LISTEN_ADDRESS",
        "ADMIN_ADDRESS",
        "EXPIRY_LEEWAY",
        "PRUNE_INTERVAL",
        "PRUNE_RETENTION",
        "SHUTDOWN_GRACE",
        "LOG_LEVEL",
        "DATABASE_URL_FILE",
        "DATABASE_TLS",
        "DATABASE_CA_FILE",
        "AUTH_JWKS_URL",
        "AUTH_ALGORITHMS",
        "AUTH_CLOCK_TOLERANCE",
        "TLS_CERT_FILE",
        "TLS_CLIENT_ROLES",
        "INSECURE",
        "REFLECTION",
        "TOKEN_ISSUERS",
        "TOKEN_ALGORITHMS",
        "MAX_TOKEN_LIFETIME",
        "AUDIT_LOG",
        "QUOTA_ROWS_PER_SECOND",
        "QUOTA_ROWS",
      ].map((name) => [name, `/${CANARY}`]),
    );
    const problems = problemsOf(env);
    for (const name of Object.keys(env)) {
      expect(
        problems.some((problem) => problem.startsWith(name.replace("URL_FILE", "URL"))),
        name,
      ).to.equal(true);
    }
    expect(problemsOf(env).join()).not.to.include(CANARY);
  });
});
